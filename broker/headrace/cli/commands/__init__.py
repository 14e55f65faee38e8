"""One module a command. What the groups of commands share is here."""

from difflib import get_close_matches

import click


class Group(click.Group):
    """A group that shows its commands' whole lines, and says which command was meant."""

    def lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command with its line in `--help`."""
        helps = {name: command.help or "" for name, command in self.commands.items()}
        return [(name, helps[name].split("\n\n")[0]) for name in self.list_commands(ctx)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.lines(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[:1] == ["help"]:
            if args[1:]:
                return super().resolve_command(ctx, [*args[1:], "--help"])
            click.echo(ctx.get_help())
            ctx.exit()
        if args and not args[0].startswith("-") and args[0] not in names:
            close = get_close_matches(args[0], names, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"There is no command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)
