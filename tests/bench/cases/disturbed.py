"""Against ourselves: the p99 of a busy Headrace beside that of a quiet one."""

import os

from tests.bench.arena import Arena, Side, Void
from tests.bench.cases.fetch import fill
from tests.bench.contest import Metric, Row, contest
from tests.bench.disturbances import Counts, Disturbances
from tests.bench.frames import make_batch, produce_frame
from tests.bench.latency_probe import WARM_UP_S, probe
from tests.bench.peer import Peer
from tests.bench.rounds import Sample, at_most

RATE = 500
SECONDS = 8.0
PARTITIONS = 2000
COLD_BYTES = 2 << 30
KEYED_FRAMES = 64
KEYED_SEGMENT_BYTES = 4 << 20
CLEANED_TO = 0.7
"""The cleaner has worked if the compacted topic holds at most this share of what was sent."""


def disturbed(arena: Arena) -> list[Row]:
    """p99 at 500 msg/s while cleaner, cold reader, /metrics, 2,000 partitions and Metadata run."""
    arena.stop_sides()
    quiet, busy = arena.ours(), arena.ours(log_cleaner_backoff_ms="100")
    quiet.label, busy.label = "quiet Headrace", "busy Headrace"
    try:
        return _play(arena, quiet, busy)
    finally:
        quiet.broker.kill()
        busy.broker.kill()


def _play(arena: Arena, quiet: Side, busy: Side) -> list[Row]:
    busy.create("many", PARTITIONS)
    end_offset = fill(busy, "cold", make_batch(1024, 256 << 10), COLD_BYTES)
    compacted = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "segment.bytes": str(KEYED_SEGMENT_BYTES),
    }
    busy.create("keyed", configs=compacted)
    batches = [make_batch(1024, 256 << 10, keys=10_000, seed=seed) for seed in range(KEYED_FRAMES)]
    keyed = [produce_frame("keyed", batch) for batch in batches]
    os.sync()
    counts = Counts()

    def measure(side: Side) -> Sample:
        topic = arena.fresh_name("disturbed")
        with Peer(side.port) as peer:
            peer.create_topic(topic)
        if side is busy:
            cold = ("cold", end_offset, WARM_UP_S + SECONDS + 2.0)
            with Disturbances(side, counts, cold, keyed):
                found = probe(side.broker.bootstrap, topic, RATE, SECONDS)
        else:
            found = probe(side.broker.bootstrap, topic, RATE, SECONDS)
        with Peer(side.port) as peer:
            peer.delete_topic(topic)
        return found

    metrics = [
        Metric(key="p99_ms", title="p99 at 500 msg/s, busy", unit="ms", target=at_most(2.0)),
        Metric(key="p50_ms", title="p50 at 500 msg/s, busy", unit="ms"),
        Metric(key="p999_ms", title="p99.9 at 500 msg/s, busy", unit="ms"),
    ]
    return contest(
        arena,
        "disturbed",
        metrics,
        measure,
        warm_by="p50_ms",
        sides=(quiet, busy),
        clear=False,
        beside="quiet",
        remark=lambda: _proof(busy, counts),
    )


def _proof(busy: Side, counts: Counts) -> str:
    """What the disturbances did, or Void if one of them did nothing."""
    held = sum(p.stat().st_size for p in (busy.broker.data_dir / "keyed-0").glob("*.log"))
    if held > CLEANED_TO * counts.keyed_bytes:
        raise Void(
            f"the cleaner did not run: {held} bytes of {counts.keyed_bytes} keyed ones are left"
        )
    if not (counts.scrapes and counts.metadata and counts.cold_bytes):
        raise Void(f"a disturbance did nothing: {counts}")
    return (
        f"over all busy rounds: the cleaner left {held >> 20} MiB of "
        f"{counts.keyed_bytes >> 20} MiB keyed, the cold reader read "
        f"{counts.cold_bytes / 1e9:.1f} GB, {counts.scrapes} scrapes of "
        f"{counts.scrape_bytes // counts.scrapes >> 10} KiB, {counts.metadata} Metadata answers of "
        f"{counts.metadata_bytes // counts.metadata >> 10} KiB"
    )
