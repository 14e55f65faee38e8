"""Moments as people write them: ISO 8601, or milliseconds since the Unix epoch."""

from datetime import datetime

import click


class Moment(click.ParamType[int]):
    """An option's value that becomes milliseconds since the Unix epoch."""

    name = "moment"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Without a zone, an ISO moment is in local time."""
        if isinstance(value, int):
            return value
        if value.isascii() and value.isdigit():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither milliseconds since 1970 nor like 2026-11-23T21:30:00Z",
                param,
                ctx,
            )
        return int(moment.timestamp() * 1000)
