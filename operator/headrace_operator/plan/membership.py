"""Which brokers a Cluster has: those that exist, and new ones where there are too few. Pure.

A broker exists while its volume or its StatefulSet does. Its id stands in their names, which nobody
can change, and is given to no other broker while its volume exists. Nothing here takes one away:
brokers that the spec no longer asks for are named, and stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headrace_operator.build import names
from headrace_operator.build.facts import Broker
from headrace_operator.build.object import annotation
from headrace_operator.crd.pools import Pool
from headrace_operator.kinds import PERSISTENT_VOLUME_CLAIM, STATEFUL_SET, Object
from headrace_operator.plan.observed_cluster import ObservedCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """`brokers` run, by id. Those in `leaving` run too: they hold data and cannot be drained yet.
    `poolless` exist in pools that the spec does not have: nothing about them is changed."""

    brokers: tuple[Broker, ...]
    leaving: frozenset[int] = frozenset()
    poolless: frozenset[int] = frozenset()
    unmarked: tuple[str, ...] = ()
    """Volumes that do not say which pool they were made for."""


def members_of(observed: ObservedCluster) -> Membership:
    """The brokers of the Cluster, each with the pool, id and zone that it keeps."""
    spec = observed.cluster.spec
    pools = {pool.name: pool for pool in spec.pools}
    pool_of, unmarked = _existing(observed)
    found: dict[int, Broker] = {}
    leaving: set[int] = set()
    taken = set(pool_of) | {number for number, _ in unmarked}
    for pool in spec.pools:
        ids = sorted(number for number, name in pool_of.items() if name == pool.name)
        going = set(_going(pool, ids))
        fresh = _free_ids(taken)
        while len(ids) - len(going) < pool.replicas:
            number = next(fresh)
            taken.add(number)
            ids.append(number)
        leaving |= going
        found |= {n: Broker(pool=pool, id=n, zone=_zone(observed, pool, n)) for n in ids}
    return Membership(
        brokers=tuple(found[number] for number in sorted(found)),
        leaving=frozenset(leaving),
        poolless=frozenset(n for n, name in pool_of.items() if name not in pools),
        unmarked=tuple(volume for _, volume in unmarked),
    )


def _existing(observed: ObservedCluster) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """Pool by id; and the volumes whose pool cannot be told."""
    cluster = observed.cluster.metadata.name
    uid = observed.cluster.metadata.uid
    pool_of: dict[int, str] = {}
    for obj in observed.all_of(STATEFUL_SET):
        known = names.broker_of_set(cluster, obj["metadata"]["name"])
        if known is not None and _is_ours(obj, uid):
            pool_of[known[1]] = known[0]
    for status in observed.cluster.status.pools:
        for broker in status.brokers:
            if observed.find(PERSISTENT_VOLUME_CLAIM, names.broker_volume(cluster, broker.id)):
                pool_of.setdefault(broker.id, status.name)
    unmarked = []
    for obj in observed.all_of(PERSISTENT_VOLUME_CLAIM):
        name = obj["metadata"]["name"]
        number = names.broker_of_volume(cluster, name)
        if number is None or number in pool_of:
            continue
        pool = annotation(obj, names.POOL)
        if pool is None:
            unmarked.append((number, name))
        else:
            pool_of[number] = pool
    return pool_of, unmarked


def _is_ours(obj: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ())


def _going(pool: Pool, ids: list[int]) -> Iterator[int]:
    """Who goes: those that the spec names, then the highest ids."""
    named = [number for number in ids if number in pool.remove]
    yield from named
    staying = [number for number in ids if number not in named]
    yield from staying[pool.replicas :]


def _free_ids(taken: set[int]) -> Iterator[int]:
    number = 0
    while True:
        if number not in taken:
            yield number
        number += 1


def _zone(observed: ObservedCluster, pool: Pool, number: int) -> str | None:
    """The zone that a broker keeps; a new one takes the pool's zones in turn."""
    name = names.broker_volume(observed.cluster.metadata.name, number)
    volume = observed.find(PERSISTENT_VOLUME_CLAIM, name)
    on_volume = annotation(volume, names.ZONE)
    if on_volume is not None:
        return on_volume
    for status in observed.cluster.status.pools:
        for broker in status.brokers:
            if broker.id == number and broker.zone is not None:
                return broker.zone
    if volume is not None or not pool.zones:
        return None
    return pool.zones[number % len(pool.zones)]
