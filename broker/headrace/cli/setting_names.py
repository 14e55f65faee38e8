"""Names of settings that are not there, refused with the closest one that is.

A broker refuses to set such a name, but as Kafka's it takes the removal of one as done: whoever
mistypes it in --unset would read "Changed".
"""

from collections.abc import Iterable

from headrace.cli.closest import closest
from headrace.cli.fault import Failure
from headrace.client.admin import Setting, describe_settings
from headrace.client.cluster import Cluster


def check_known(kind: str, name: str, keys: Iterable[str], settings: Iterable[Setting]) -> None:
    """Raises Failure for the first of `keys` that is none of `settings`."""
    known = {s.name for s in settings}
    for key in keys:
        if key not in known:
            raise Failure(
                f"{kind} {name} has no setting {key!r}{closest(key, sorted(known))}",
                code="UNKNOWN_SETTING",
            )


async def check_unset(cluster: Cluster, kind: str, name: str, keys: Iterable[str]) -> None:
    """Raises Failure for a key that cannot be returned to its default.

    What brokers share (`name` empty) lists only what is set, so any broker's own list is asked.
    """
    keys = tuple(keys)
    if not keys or kind == "group":  # of a group the broker refuses what it does not know
        return
    asked = name
    if kind == "broker" and not name:
        asked = str(min((await cluster.refresh(())).brokers))
    settings = await describe_settings(cluster, kind, asked)
    check_known(kind, name or "default", keys, settings)
    fixed = sorted({s.name for s in settings if s.read_only}.intersection(keys))
    if fixed:
        raise Failure(
            f"{fixed[0]} cannot be changed while a broker runs: it stands in the broker's file",
            code="INVALID_REQUEST",
        )
