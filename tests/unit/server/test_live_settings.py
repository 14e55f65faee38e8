"""Dynamic settings that other parts of the broker take up while it runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from headrace.base.errors import Code
from headrace.base.image import BrokerState
from headrace.config.broker import BrokerSettings
from headrace.config.topic import log_settings
from headrace.server.broker import Broker
from headrace.server.record_policy import RecordPolicy
from headrace.wire.batch import HEADER_BYTES, read_batch_header
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
        made = policy.repack(header, bytes(batch[HEADER_BYTES:]))
        assert isinstance(made, bytearray)
        return len(made)

    assert size(high) < size(low) < len(batch)


async def until(broker: Broker, look: Callable[[BrokerState], bool]) -> BrokerState:
    """The broker's registration once it looks so."""
    async with asyncio.timeout(5):
        while True:
            state = broker.metadata.image.brokers[1]
            if look(state):
                return state
            await asyncio.sleep(0.001)


async def test_advertised_listeners_change_without_a_restart(tmp_path: Path) -> None:
    listeners = "IN://127.0.0.1:0,OUT://127.0.0.1:0"
    async with running(tmp_path / "d", listeners=listeners) as rig:
        broker, key = rig.broker, "advertised.listeners"
        port = broker.kafka_endpoints[0].port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        before = broker.metadata.image.brokers[1]

        moved = f"IN://127.0.0.1:{port},OUT://outside.example:9000"
        assert await rig.alter(BROKER, "1", (key, moved, SET)) == (0, None)
        after = await until(broker, lambda state: state.epoch > before.epoch)
        outside = after.endpoint("OUT")
        assert outside is not None and (outside.host, outside.port) == ("outside.example", 9000)
        assert after.continues == before.epoch
        described = await rig.describe(BROKER, "1", key)
        assert described[key]["value"] == moved and not described[key]["read_only"]
        assert broker.metadata.image.controller_id == 1
        assert (await rig.create("t"))["error_code"] == 0
        assert [p.replica.is_leader for p in broker.partitions] == [True]

        writer.write(b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\xff\xff")
        assert len(await asyncio.wait_for(reader.readexactly(8), 5)) == 8, "still connected"
        writer.close()

        await rig.alter(BROKER, "1", (key, None, DELETE))
        await until(broker, lambda state: state.endpoints == before.endpoints)


@pytest.mark.parametrize(
    ("resource", "value", "message"),
    [
        ("1", "OUT://h:1", "there is no such listener; listeners has PLAINTEXT"),
        ("1", "PLAINTEXT://h:port", "it must be of the form NAME://host:port"),
        ("1", "PLAINTEXT://:9092", "it must be a host and a port that clients can reach"),
        ("", "PLAINTEXT://h:1", "Cannot update these per-broker configs at the cluster level"),
    ],
)
async def test_an_address_that_cannot_be_advertised(
    tmp_path: Path, resource: str, value: str, message: str
) -> None:
    async with running(tmp_path / "d") as rig:
        epoch = rig.broker.metadata.epoch
        code, said = await rig.alter(BROKER, resource, ("advertised.listeners", value, SET))
        assert code == Code.INVALID_REQUEST and message in said
        assert rig.broker.metadata.epoch == epoch


async def test_an_advertised_address_whose_listener_is_gone_costs_no_other_setting(
    tmp_path: Path,
) -> None:
    listeners = "IN://127.0.0.1:0,OUT://127.0.0.1:0"
    async with running(tmp_path / "d", listeners=listeners) as rig:
        await rig.alter(BROKER, "1", ("advertised.listeners", "IN://i:1,OUT://o:2", SET))
        await rig.alter(BROKER, "1", ("max.connections", "77", SET))
    async with running(tmp_path / "d", listeners="IN://127.0.0.1:0") as rig:
        assert rig.broker.settings.max_connections == 77
        (endpoint,) = rig.broker.metadata.image.brokers[1].endpoints
        assert endpoint.listener == "IN" and endpoint.host == "127.0.0.1"
