"""Topics by name: one that is not there is told with the closest, an internal one is guarded."""

from collections.abc import Iterable

from headrace.base.errors import Code
from headrace.cli.closest import closest
from headrace.cli.fault import Failure
from headrace.client.cluster import Cluster
from headrace.client.errors import BrokerRefused
from headrace.client.metadata import Topic


async def known_topic(cluster: Cluster, name: str) -> Topic:
    """The topic, once it has leaders. Raises ClientError, Failure for one that is not there."""
    try:
        return await cluster.topic(name)
    except BrokerRefused as refused:
        if refused.code is not Code.UNKNOWN_TOPIC_OR_PARTITION:
            raise
    listed = (await cluster.refresh(None)).topics
    raise Failure(
        f"There is no topic {name!r} at {cluster.where}{closest(name, sorted(listed))}."
        f" `headrace topic list` shows the topics, `headrace topic create {name}` makes it",
        code=Code.UNKNOWN_TOPIC_OR_PARTITION.name,
    )


async def guard_internal(
    cluster: Cluster, names: Iterable[str], *, allowed: bool, loses: str
) -> None:
    """Raises Failure for the broker's own topics unless `allowed`; `loses` says what is lost."""
    if allowed:
        return
    known = (await cluster.refresh(sorted(set(names)))).topics
    for name in names:
        if known[name].internal:
            raise Failure(
                f"{name} is internal: {loses}. Nothing was changed; --internal does it all the"
                " same",
                code="INTERNAL_TOPIC",
            )
