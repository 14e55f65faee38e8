"""Which brokers hold a new partition: spread over brokers and racks, leaders as well.

Partition p starts at the p-th broker of a list in which racks alternate; its followers are the
next ones, racks that do not hold it yet first. After each full turn of the list the followers
shift by one, so that a broker's load does not fall on one neighbour when it dies.
"""

from collections import defaultdict
from collections.abc import Sequence

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState


def place(
    brokers: Sequence[BrokerState], *, partitions: int, replication_factor: int, first: int
) -> tuple[tuple[int, ...], ...] | Refusal:
    """Replica lists of `partitions` partitions, the preferred leader first.

    `first` says where in the list to start: the number of the first partition, or any number
    to spread topics of one partition.
    """
    usable = [broker for broker in brokers if not broker.draining]
    if replication_factor > len(usable):
        return Refusal(
            Code.INVALID_REPLICATION_FACTOR,
            f"Unable to replicate the partition {replication_factor} time(s): only "
            f"{len(usable)} broker(s) can take replicas.",
        )
    order = _racks_alternating(usable)
    return tuple(
        _replicas(order, replication_factor, (first + index) % len(order), (first + index))
        for index in range(partitions)
    )


def _replicas(
    order: Sequence[BrokerState], replication_factor: int, start: int, number: int
) -> tuple[int, ...]:
    leader = order[start]
    others = [order[(start + step) % len(order)] for step in range(1, len(order))]
    if others:
        shift = (number // len(order)) % len(others)
        others = others[shift:] + others[:shift]
    chosen = [leader]
    while len(chosen) < replication_factor:
        racks = {broker.rack for broker in chosen}
        fresh = [broker for broker in others if broker.rack is None or broker.rack not in racks]
        taken = (fresh or others)[0]
        others.remove(taken)
        chosen.append(taken)
    return tuple(broker.broker_id for broker in chosen)


def _racks_alternating(brokers: Sequence[BrokerState]) -> list[BrokerState]:
    by_rack: defaultdict[str, list[BrokerState]] = defaultdict(list)
    for broker in sorted(brokers, key=lambda broker: broker.broker_id):
        by_rack[broker.rack or ""].append(broker)
    order = []
    rows = [by_rack[rack] for rack in sorted(by_rack)]
    for turn in range(max(len(row) for row in rows)):
        order += [row[turn] for row in rows if turn < len(row)]
    return order
