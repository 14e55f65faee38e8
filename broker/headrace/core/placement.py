"""Which brokers hold a new partition: evenly over brokers and racks, leaders as well.

A leader is chosen partition by partition: the broker with the fewest of the topic, then the one
with the fewest of all, then one of the rack with the lighter load for its size. So a topic's
partitions differ by at most one between brokers, and a broker that was added takes the new topics
until it has what the others have. Followers are the next ones of a list in which racks alternate,
racks that do not hold the partition yet first; after each full turn of the list they shift by one,
so that a broker's load does not fall on one neighbour when it dies.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import Final

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState

_NOTHING: Final[Mapping[int, int]] = {}


def place(
    brokers: Sequence[BrokerState],
    *,
    partitions: int,
    replication_factor: int,
    held: Mapping[int, int] = _NOTHING,
    led: Mapping[int, int] = _NOTHING,
) -> tuple[tuple[int, ...], ...] | Refusal:
    """Replica lists of `partitions` new partitions, the preferred leader first.

    `held` counts all replicas by broker, and `led` those of the topic's partitions that the broker
    leads already. Takes O(partitions x log brokers) for one replica.
    """
    usable = [broker for broker in brokers if not broker.draining]
    if replication_factor > len(usable):
        return Refusal(
            Code.INVALID_REPLICATION_FACTOR,
            f"Unable to replicate the partition {replication_factor} time(s): only "
            f"{len(usable)} broker(s) can take replicas.",
        )
    order = _racks_alternating(usable)
    start = {broker.broker_id: position for position, broker in enumerate(order)}
    first = sum(led.values())
    leaders = _leaders(order, partitions, held, led)
    return tuple(
        _replicas(order, replication_factor, start[leader], first + index)
        for index, leader in enumerate(leaders)
    )


class _Rack:
    """The brokers of one rack, the next one to take a partition first in `heap`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.heap: list[tuple[int, int, int]] = []
        self.held = 0
        self.of_topic = 0

    def key(self) -> tuple[int, int, float, int, int]:
        """What racks are compared by: their first broker, then their own load."""
        of_topic, held, _ = self.heap[0]
        return of_topic, held, self.held / len(self.heap), self.of_topic, self.number

    def take(self) -> int:
        """Give the next partition to the first broker; returns its place in the order."""
        of_topic, held, position = self.heap[0]
        heapreplace(self.heap, (of_topic + 1, held + 1, position))
        self.held += 1
        self.of_topic += 1
        return position


def _leaders(
    order: Sequence[BrokerState], count: int, held: Mapping[int, int], led: Mapping[int, int]
) -> list[int]:
    by_name: dict[str | None, _Rack] = {}
    for position, broker in enumerate(order):
        rack = by_name.setdefault(broker.rack, _Rack(len(by_name)))
        own, topic = held.get(broker.broker_id, 0), led.get(broker.broker_id, 0)
        rack.heap.append((topic, own, position))
        rack.held += own
        rack.of_topic += topic
    for rack in by_name.values():
        heapify(rack.heap)
    racks = [(rack.key(), rack) for rack in by_name.values()]
    heapify(racks)
    leaders = []
    for _ in range(count):
        rack = racks[0][1]
        leaders.append(order[rack.take()].broker_id)
        heapreplace(racks, (rack.key(), rack))
    return leaders


def _replicas(
    order: Sequence[BrokerState], replication_factor: int, start: int, number: int
) -> tuple[int, ...]:
    leader = order[start]
    if replication_factor == 1:
        return (leader.broker_id,)
    others = [order[(start + step) % len(order)] for step in range(1, len(order))]
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
