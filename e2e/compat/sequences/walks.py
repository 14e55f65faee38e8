"""Generated sequences: random walks from fixed seeds over produce, fetch, groups and configs."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import Sequence
from e2e.compat.sequences.batches import T0_MS, batch
from e2e.compat.sequences.configs import TOPIC, VALUES, describe, holds, incrementally
from e2e.compat.sequences.fetch import listing
from e2e.compat.sequences.groups import STEPS, Member, committed
from e2e.compat.sequences.setting import fetched, group, offset_of, produced, topic

WALKS = 20
STEPS_OF_A_WALK = 15


def walks() -> Iterator[Sequence]:
    """Twenty walks of each kind."""
    for kind, walk in (
        ("log", _log),
        ("producer", _producer),
        ("group", _group),
        ("config", _config),
    ):
        for seed in range(WALKS):
            yield Sequence(f"walks.{kind}-{seed}", _seeded(walk, seed))


def _seeded(walk: Callable[[Peer, random.Random], None], seed: int) -> Callable[[Peer], None]:
    return lambda peer: walk(peer, random.Random(f"{walk.__name__}{seed}"))


def _log(peer: Peer, dice: random.Random) -> None:
    """Appends of every size, reads at every place, deletion of records."""
    where = topic(peer, configs={"retention.ms": "-1", "segment.bytes": "1048576"})
    end = 0
    for _ in range(STEPS_OF_A_WALK):
        match dice.choice(("produce", "produce", "fetch", "fetch", "offsets", "delete")):
            case "produce":
                values = [dice.randbytes(dice.choice((0, 1, 50, 3000)))] * dice.randint(1, 6)
                stamp = T0_MS + dice.randint(-1000, 1000)
                records = batch(*values, timestamp_ms=stamp, gzipped=dice.random() < 0.3)
                peer.ask("produce", dice.randint(3, 12), **produced(where.name, (0, records)))
                end += len(values)
            case "fetch":
                how: dict[str, Any] = {"partition_max_bytes": dice.choice((1, 500, 1 << 20))}
                offset = dice.randint(-1, end + 1)
                peer.ask("fetch", dice.randint(4, 18), **fetched(where, (0, offset), **how))
            case "offsets":
                stamp = dice.choice((-1, -2, -3, T0_MS + dice.randint(-1100, 1100)))
                topics = [{"name": where.name, "partitions": [offset_of(0, stamp)]}]
                peer.ask("list_offsets", dice.randint(7, 11), **listing(topics))
            case "delete":
                parts = [{"partition_index": 0, "offset": dice.randint(-1, end + 1)}]
                topics = [{"name": where.name, "partitions": parts}]
                peer.ask("delete_records", dice.randint(0, 2), topics=topics, timeout_ms=5000)


def _producer(peer: Peer, dice: random.Random) -> None:
    """Two idempotent producers that now and then repeat, skip, or change their epoch."""
    where = topic(peer)
    first = 10**12 + dice.randint(10, 10**6)
    state = {first: [0, 0], first + 1: [2**31 - 4, 0]}
    for _ in range(STEPS_OF_A_WALK * 2):
        who = dice.choice(sorted(state))
        number, epoch = state[who]
        count = dice.randint(1, 3)
        slip = dice.choice((0, 0, 0, 0, 0, -1, -2, -count, 1, 4))
        bump = dice.choice((0,) * 12 + (1, -1, 2))
        base = 0 if bump > 0 and dice.random() < 0.7 else (number + slip) % 2**31
        records = batch(
            *[b"v"] * count, producer_id=who, producer_epoch=epoch + bump, base_sequence=base
        )
        answer = peer.ask("produce", 9, **produced(where.name, (0, records)))
        if answer and not answer.responses[0].partition_responses[0].error_code and slip >= 0:
            state[who] = [(base + count) % 2**31, max(epoch, epoch + bump)]
    peer.ask("fetch", 12, **fetched(where, (0, 0)))
    topics = [{"name": where.name, "partition_indexes": [0]}]
    peer.ask("describe_producers", 0, topics=topics)


def _group(peer: Peer, dice: random.Random) -> None:
    """One member of a group does anything at any time; others only ask for an id."""
    member = Member(peer, group(peer), "a", instance=dice.choice((None, None, "static")))
    for _ in range(STEPS_OF_A_WALK):
        STEPS[dice.choice(sorted(STEPS))](member)
    committed(peer, member.group_id, None)


def _config(peer: Peer, dice: random.Random) -> None:
    """Topic configs set and reset, several at a time."""
    where = topic(peer, configs={})
    for _ in range(STEPS_OF_A_WALK // 2):
        keys = dice.sample(sorted(VALUES.keys() - {"min.insync.replicas"}), dice.randint(1, 3))
        changes = [
            (0, key, dice.choice(VALUES[key])) if dice.random() < 0.8 else (1, key, None)
            for key in keys
        ]
        answer = incrementally(peer, TOPIC, where.name, *changes, dry=dice.random() < 0.2)
        if answer is not None and answer.responses[0].error_code:
            continue
        peer.settle(lambda a: True, "api_versions", 0)
    marker = (0, "file.delete.delay.ms", "4711")
    incrementally(peer, TOPIC, where.name, marker)
    describe(peer, TOPIC, where.name, *sorted(VALUES), until=holds(marker[1], "4711"))
