"""`headrace quota`."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from headrace.cli.commands import Group
from headrace.cli.output import Output, Table
from headrace.cli.session import connected, parse_pairs
from headrace.client import quota_admin
from headrace.client.cluster import Cluster

_KEYS: Final = {
    "producer_byte_rate": "bytes a second",
    "consumer_byte_rate": "bytes a second",
    "request_percentage": "percent of the broker's time",
    "controller_mutation_rate": "partitions a second",
    "connection_creation_rate": "connections a second, of an ip",
}


@click.group(
    name="quota",
    cls=Group,
    epilog="\b\nExample:\n  headrace quota set --client-id app producer_byte_rate=1000000",
)
def command() -> None:
    """Show and change what clients may use."""


def _entity(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name whom a quota is for; they arrive as one `entity`."""
    options = (
        ("user", "--user", "NAME", "A user."),
        ("user_default", "--user-default", None, "Users without a quota of their own."),
        ("client_id", "--client-id", "ID", "A client id."),
        ("client_id_default", "--client-id-default", None, "Client ids without their own."),
        ("ip", "--ip", "ADDRESS", "An IP address."),
        ("ip_default", "--ip-default", None, "Addresses without their own."),
    )

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        names = {variable: given.pop(variable) for variable, *_ in options}
        return function(entity=_named(names), **given)

    for variable, flag, metavar, line in reversed(options):
        is_flag = metavar is None
        command = click.option(flag, variable, is_flag=is_flag, metavar=metavar, help=line)(command)
    return command


def _named(names: dict[str, Any]) -> dict[str, str | None]:
    entity: dict[str, str | None] = {}
    for kind in quota_admin.KINDS:
        variable = kind.replace("-", "_")
        name, default = names[variable], names[f"{variable}_default"]
        if name is not None and default:
            raise click.UsageError(f"Give --{kind} or --{kind}-default, not both.")
        if name is not None or default:
            entity[kind] = name
    if not entity:
        raise click.UsageError("Whose quota? Give --user, --client-id or --ip, or a default.")
    return entity


@command.command(name="list", epilog="\b\nExample:\n  headrace quota list -o json")
@connected
async def list_quotas(cluster: Cluster, output: Output) -> None:
    """List all quotas."""
    listed = await quota_admin.list_quotas(cluster)
    fields = {"quotas": [{"entity": q.entity, "values": q.values} for q in listed]}
    rows = [
        (quota_admin.shown(q.entity), key, _number(value))
        for q in listed
        for key, value in sorted(q.values.items())
    ]
    empty = "There are no quotas: every client takes what it can."
    output.result(fields, Table(columns=["ENTITY", "QUOTA", "VALUE"], rows=rows, empty=empty))


@command.command(
    name="set",
    epilog="\b\nQuotas:\n"
    + "\n".join(f"  {key:<26}{unit}" for key, unit in _KEYS.items())
    + "\n\n\b\nExample:\n  headrace quota set --client-id app producer_byte_rate=1000000"
    "\n  headrace quota set --user alice --client-id-default request_percentage=10",
)
@_entity
@click.argument("pairs", nargs=-1, required=True, metavar="QUOTA=NUMBER...")
@connected
async def set_quotas(
    cluster: Cluster, output: Output, entity: dict[str, str | None], pairs: tuple[str, ...]
) -> None:
    """Set quotas of a user, a client id, both, or an ip."""
    set_to = {key: _value(key, text) for key, text in parse_pairs(pairs, "Quota").items()}
    await quota_admin.alter_quotas(cluster, entity, set_to=set_to)
    fields = {"entity": entity, "set": set_to}
    output.result(fields, f"Changed the quotas of {quota_admin.shown(entity)}.")


@command.command(
    epilog="\b\nExample:\n  headrace quota reset --client-id app"
    "\n  headrace quota reset --client-id app producer_byte_rate"
)
@_entity
@click.argument("keys", nargs=-1, metavar="[QUOTA]...", type=click.Choice(list(_KEYS)))
@connected
async def reset(
    cluster: Cluster, output: Output, entity: dict[str, str | None], keys: tuple[str, ...]
) -> None:
    """Remove quotas; all of the entity's if none is named."""
    removed = list(keys)
    if not removed:
        listed = await quota_admin.list_quotas(cluster)
        removed = sorted(key for q in listed if q.entity == entity for key in q.values)
    if removed:
        await quota_admin.alter_quotas(cluster, entity, remove=removed)
    fields = {"entity": entity, "removed": removed}
    shown = quota_admin.shown(entity)
    what = ", ".join(removed)
    output.result(fields, f"Removed {what} of {shown}." if what else f"{shown} has no quotas.")


def _value(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"{key} is a number, not {text!r}.") from None


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)
