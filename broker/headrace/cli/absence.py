"""What `consume` says on stderr while no broker answers, once each time."""

import click

from headrace.client.errors import ClientError


class Absence:
    """`tell` is a consumer's `on_trouble`. `to_end` says that it does not wait for ever."""

    def __init__(self, *, to_end: bool) -> None:
        self._ends_with = "it is tried again for a while" if to_end else "waiting until it is back"
        self._told = False

    def tell(self, error: ClientError | None) -> None:
        """A failure that is retried; None once a broker has answered again."""
        if error is None:
            if self._told:
                click.echo("headrace: the broker is back.", err=True)
            self._told = False
        elif not self._told:
            self._told = True
            click.echo(f"headrace: {error}; {self._ends_with}.", err=True)
