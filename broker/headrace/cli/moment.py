"""Moments as people write them: ISO 8601, or milliseconds since the Unix epoch."""

from datetime import datetime

import click

from headrace.cli.bounds import INT64_MAX


class Moment(click.ParamType[int]):
    """An option's value that becomes milliseconds since the Unix epoch."""

    name = "moment"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Without a zone, an ISO moment is in local time."""
        if isinstance(value, int):
            return value
        try:
            if value.isascii() and value.isdigit():
                moment_ms = int(value)
            else:
                moment_ms = int(datetime.fromisoformat(value).timestamp() * 1000)
        except (ValueError, OverflowError):  # the latter in the year 1, to the east of Greenwich
            self.fail(
                f"{value!r} is neither milliseconds since 1970 nor like 2026-11-23T21:30:00Z",
                param,
                ctx,
            )
        if not 0 <= moment_ms <= INT64_MAX:
            self.fail(f"{value!r} is before 1970 or beyond 64 bits of milliseconds", param, ctx)
        return moment_ms
