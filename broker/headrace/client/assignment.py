"""Assignors of classic groups: who reads which partitions. Pure.

The range rule is the one that Kafka's consumers use by default, so that mixed groups agree.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

Plan: TypeAlias = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Partitions by topic, by member."""


def assign_range(
    subscriptions: Mapping[str, Iterable[str]], partition_counts: Mapping[str, int]
) -> Plan:
    """Each topic's partitions in runs over its subscribers in order; the first get one more."""
    given: dict[str, dict[str, tuple[int, ...]]] = {member: {} for member in subscriptions}
    for topic, count in sorted(partition_counts.items()):
        members = sorted(m for m, topics in subscriptions.items() if topic in topics)
        if not members:
            continue
        share, more = divmod(count, len(members))
        first = 0
        for place, member in enumerate(members):
            last = first + share + (place < more)
            if last > first:
                given[member][topic] = tuple(range(first, last))
            first = last
    return given


def assign_round_robin(
    subscriptions: Mapping[str, Iterable[str]], partition_counts: Mapping[str, int]
) -> Plan:
    """All partitions dealt to the members in turn, passing over who has not subscribed."""
    given: dict[str, dict[str, tuple[int, ...]]] = {member: {} for member in subscriptions}
    members = sorted(subscriptions)
    place = 0
    for topic, count in sorted(partition_counts.items()):
        if not any(topic in subscriptions[member] for member in members):
            continue
        for index in range(count):
            while topic not in subscriptions[members[place % len(members)]]:
                place += 1
            of_member = given[members[place % len(members)]]
            of_member[topic] = (*of_member.get(topic, ()), index)
            place += 1
    return given


ASSIGNORS = {"range": assign_range, "roundrobin": assign_round_robin}
