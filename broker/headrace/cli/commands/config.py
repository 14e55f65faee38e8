"""`headrace config`."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from headrace.cli import bounds, suggest
from headrace.cli.commands import Group
from headrace.cli.output import Output, Table
from headrace.cli.session import connected, parse_pairs
from headrace.cli.setting_names import check_known, check_unset
from headrace.client import admin
from headrace.client.cluster import Cluster

CLUSTER_DEFAULT = "default"


@click.group(
    name="config", cls=Group, epilog="\b\nExample:\n  headrace config get topic events --changed"
)
def command() -> None:
    """Show and change settings of topics, brokers and groups."""


def _resource(function: Callable[..., Any]) -> Callable[..., Any]:
    """The two arguments that name what is configured."""
    function = click.argument("name", shell_complete=suggest.resources)(function)
    return click.argument("kind", type=click.Choice(list(admin.RESOURCE_TYPES)))(function)


@command.command(
    epilog="\b\nExample:\n  headrace config get topic events retention.ms"
    "\n  headrace config get broker 1"
)
@_resource
@click.argument("keys", nargs=-1, metavar="[KEY]...", shell_complete=suggest.setting_keys())
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@connected
async def get(
    cluster: Cluster, output: Output, kind: str, name: str, keys: tuple[str, ...], changed: bool
) -> None:
    """Show settings. NAME `default` among brokers is the cluster's default."""
    settings = await admin.describe_settings(cluster, kind, _wire_name(kind, name))
    check_known(kind, name, keys, settings)
    defaults = _defaults(kind) if changed else {}
    shown = [
        s
        for s in settings
        if (not keys or s.name in keys) and (not changed or _is_changed(s, defaults))
    ]
    fields = {
        "kind": kind,
        "name": name,
        "settings": [
            {
                "name": s.name,
                "value": s.value,
                "source": s.source,
                "read_only": s.read_only,
                "sensitive": s.sensitive,
            }
            for s in shown
        ],
    }
    rows = [(s.name, "(hidden)" if s.sensitive else s.value, s.source) for s in shown]
    columns = ["SETTING", "VALUE", "SOURCE"]
    bare = kind == "group" and not settings
    empty = f"Group {name} has no settings." if bare else "Every setting has its default."
    output.result(fields, Table(columns=columns, rows=rows, empty=empty))


@command.command(
    name="set",
    epilog="\b\nExample:\n  headrace config set topic events retention.ms=3600000"
    "\n  headrace config set broker default --unset log.retention.ms",
)
@_resource
@click.argument(
    "pairs", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=suggest.setting_keys(end="=")
)
@click.option(
    "--unset",
    multiple=True,
    metavar="KEY",
    help="Return a setting to its default.",
    shell_complete=suggest.setting_keys(),
)
@connected
async def set_settings(
    cluster: Cluster,
    output: Output,
    kind: str,
    name: str,
    pairs: tuple[str, ...],
    unset: tuple[str, ...],
) -> None:
    """Change settings. NAME `default` among brokers is the cluster's default."""
    set_to = parse_pairs(pairs, "Setting")
    if not (set_to or unset):
        raise click.UsageError("Nothing to change: give KEY=VALUE or --unset KEY.")
    wire_name = _wire_name(kind, name)
    await check_unset(cluster, kind, wire_name, unset)
    await admin.alter_settings(cluster, kind, wire_name, set_to=set_to, unset=unset)
    fields = {"kind": kind, "name": name, "set": set_to, "unset": list(unset)}
    output.result(fields, f"Changed {kind} {name}.")


def _defaults(kind: str) -> Mapping[str, str | None]:
    """The release's own; a broker tells those of topics under other keys, or not at all."""
    from headrace.config.key import text_of
    from headrace.config.table import broker_keys
    from headrace.config.topic import LOG_FIELDS

    keys = broker_keys().values() if kind == "broker" else LOG_FIELDS.values()
    return {key.name: text_of(key.default) for key in keys}


def _is_changed(setting: admin.Setting, defaults: Mapping[str, str | None]) -> bool:
    return setting.source != "default" and setting.value != defaults.get(setting.name)


def _wire_name(kind: str, name: str) -> str:
    if kind != "broker":
        return name
    if name == CLUSTER_DEFAULT:
        return ""
    if not (name.isascii() and name.isdigit() and int(name) <= bounds.INT32_MAX):
        raise click.UsageError(f"A broker's name is its number, or `default`; not {name!r}.")
    return name
