"""Dynamic settings that other parts of the broker take up while it runs."""

import asyncio
from pathlib import Path

import pytest
from headrace.config.broker import BrokerSettings
from headrace.config.topic import log_settings
from headrace.server.record_policy import RecordPolicy
from headrace.wire.batch import read_batch_header
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import BROKER, DELETE, SET, running


async def test_max_connections_holds_for_the_next_connection(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        port = rig.broker.kafka_endpoints[0].port
        assert await rig.alter(BROKER, "1", ("max.connections", "0", SET)) == (0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await rig.alter(BROKER, "1", ("max.connections", None, DELETE))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\xff\xff")
        assert len(await asyncio.wait_for(reader.readexactly(8), 5)) == 8
        writer.close()


@pytest.mark.parametrize(("codec", "low", "high"), [("gzip", "1", "9"), ("zstd", "1", "19")])
def test_the_topics_compression_level_is_used(codec: str, low: str, high: str) -> None:
    text = "".join(f"{n * n} {n} words and numbers; " for n in range(2000)).encode()
    batch = build_batch([NewRecord(key=None, value=text, timestamp=1)])
    header = read_batch_header(memoryview(batch), 0)

    def size(level: str) -> int:
        overrides = {"compression.type": codec, f"compression.{codec}.level": level}
        policy = RecordPolicy.of(log_settings(BrokerSettings(), overrides))
        assert policy is not None
        made = policy.apply(memoryview(batch), header, 1)
        assert isinstance(made, bytearray)
        return len(made)

    assert size(high) < size(low) < len(batch)
