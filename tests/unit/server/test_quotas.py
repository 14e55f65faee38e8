"""Quotas from the request to the muted connection, against a broker in this process."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from headrace.wire import messages
from headrace.wire.records import NewRecord, build_batch
from headrace.wire.versions import CREATE_TOPICS, FETCH, METADATA, PRODUCE

from tests.unit.server.admin_rig import Rig, plain, running, topic

RATE, FETCH_RATE, SHARE = "producer_byte_rate", "consumer_byte_rate", "request_percentage"
MUTATIONS, CONNECTIONS = "controller_mutation_rate", "connection_creation_rate"
THROTTLED = 89
DEADLINE_S = 20
SOON_S = 0.05


class Client:
    """A rude client: it sends without waiting and heeds no throttle time."""

    def __init__(self, broker: Any, listener: int = 0, client_id: str = "app") -> None:
        self.port = broker.kafka_endpoints[listener].port
        self.client_id = client_id
        self.asked: list[tuple[int, int]] = []

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await asyncio.wait_for(self.writer.wait_closed(), DEADLINE_S)

    def send(self, api_key: int, version: int, **fields: Any) -> None:
        self.asked.append((api_key, version))
        self.writer.write(messages.write_request(api_key, version, 1, self.client_id, fields))

    async def answer(self) -> Any:
        (size,) = struct.unpack(">i", await self.reader.readexactly(4))
        return plain(
            messages.read_response(*self.asked.pop(0), await self.reader.readexactly(size))
        )

    async def ask(self, api_key: int, version: int, **fields: Any) -> Any:
        self.send(api_key, version, **fields)
        return await asyncio.wait_for(self.answer(), DEADLINE_S)

    def produce(self, size_bytes: int) -> None:
        batch = build_batch([NewRecord(None, bytes(size_bytes), 1_750_000_000_000)])
        data = {"name": "t", "partition_data": [{"index": 0, "records": bytes(batch)}]}
        self.send(PRODUCE, 9, transactional_id=None, acks=1, timeout_ms=5000, topic_data=[data])

    def fetch(self, max_bytes: int = 1 << 20, version: int = 12, max_wait_ms: int = 0) -> None:
        partition = {
            "partition": 0, "current_leader_epoch": -1, "fetch_offset": 0,
            "last_fetched_epoch": -1, "log_start_offset": -1, "partition_max_bytes": max_bytes,
        }  # fmt: skip
        self.send(
            FETCH, version, replica_id=-1, max_wait_ms=max_wait_ms, min_bytes=1,
            max_bytes=max_bytes, isolation_level=0, session_id=0, session_epoch=-1,
            topics=[{"topic": "t", "partitions": [partition]}], forgotten_topics_data=[],
            rack_id="",
        )  # fmt: skip


def fetched(answer: Any) -> int:
    """Bytes of records in a Fetch answer."""
    return sum(len(p["records"] or b"") for t in answer["responses"] for p in t["partitions"])


def waited(answer: Any) -> int:
    """The throttle time of an answer in milliseconds."""
    return messages.ms(answer["throttle_time"])


async def limit(rig: Rig, entity: dict[str, str | None], **values: float | None) -> Any:
    named = [{"entity_type": kind, "entity_name": name} for kind, name in entity.items()]
    ops = [{"key": k, "value": v or 0.0, "remove": v is None} for k, v in values.items()]
    entries = [{"entity": named, "ops": ops}]
    answer = await rig(49, 1, entries=entries, validate_only=False)
    return answer["entries"][0]["error_code"]


@asynccontextmanager
async def broker(folder: Path, **settings: str) -> AsyncIterator[Rig]:
    async with running(folder, **settings) as rig:
        assert (await rig.create("t"))["error_code"] == 0
        yield rig


async def test_a_producer_over_its_rate_is_told_to_wait_and_not_read_until_then(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        assert await limit(rig, {"client-id": "app"}, **{RATE: 100_000.0}) == 0
        began = rig.broker.loop.time()
        client.produce(80_000)
        client.send(METADATA, 4, topics=[], allow_auto_topic_creation=False)
        told = await asyncio.wait_for(client.answer(), DEADLINE_S)
        answered_s = rig.broker.loop.time() - began
        assert told["responses"][0]["partition_responses"][0]["error_code"] == 0
        wait_s = waited(told) / 1000
        assert wait_s == pytest.approx(0.3, abs=0.01), "80 kB less half a second's 50 kB"
        assert answered_s < wait_s / 2, "the answer itself does not wait"
        await asyncio.wait_for(client.answer(), DEADLINE_S)
        assert rig.broker.loop.time() - began >= wait_s, "what was sent meanwhile does"


async def test_others_are_not_slowed_and_a_removed_quota_slows_nobody(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker, client_id="other") as other:
        await limit(rig, {"client-id": "app"}, **{RATE: 1.0})
        other.produce(100_000)
        assert waited(await other.answer()) == 0
        await limit(rig, {"client-id": "other"}, **{RATE: 10_000.0})
        other.produce(6_000)
        assert waited(await other.answer()) > 0
        await limit(rig, {"client-id": "other"}, **{RATE: None})
        other.produce(100_000)
        assert waited(await other.answer()) == 0
        assert await limit(rig, {"client-id": "app"}, **{RATE: None}) == 0
        assert not rig.broker.quotas.active


async def test_a_reader_gets_half_a_second_at_a_time_and_over_its_rate_nothing(
    tmp_path: Path,
) -> None:
    async with (
        broker(tmp_path) as rig,
        Client(rig.broker) as client,
        Client(rig.broker) as second,
    ):
        for _ in range(20):
            client.produce(10_000)
            await client.answer()
        await limit(rig, {"user": "ANONYMOUS"}, **{FETCH_RATE: 100_000.0})
        client.fetch()
        first = await client.answer()
        assert 40_000 < fetched(first) <= 50_000
        assert waited(first) == 0
        client.fetch()
        again = await client.answer()
        assert fetched(again) > 40_000
        assert 300 < waited(again) <= 500
        second.fetch()
        refused = await second.answer()
        assert not refused["responses"], "the same user on another connection gets nothing"
        assert 0 < waited(refused) <= 500


async def test_a_batch_larger_than_the_rate_is_given_and_paid_for(tmp_path: Path) -> None:
    """Else its reader would never get on; Kafka's stops there."""
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        client.produce(50_000)
        await client.answer()
        await limit(rig, {"client-id": "app"}, **{FETCH_RATE: 100_000.0})
        client.fetch(max_bytes=100)
        assert fetched(await client.answer()) > 50_000


async def test_a_refused_fetch_keeps_its_session(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        client.produce(50_000)
        await client.answer()
        partition = {
            "partition": 0, "current_leader_epoch": -1, "fetch_offset": 0,
            "last_fetched_epoch": -1, "log_start_offset": -1, "partition_max_bytes": 1 << 20,
        }  # fmt: skip
        asked = {
            "replica_id": -1, "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20,
            "isolation_level": 0, "forgotten_topics_data": [], "rack_id": "",
        }  # fmt: skip
        opened = await client.ask(
            FETCH, 12, **asked, session_id=0, session_epoch=0,
            topics=[{"topic": "t", "partitions": [partition]}],
        )  # fmt: skip
        session = opened["session_id"]
        assert session
        await limit(rig, {"client-id": "app"}, **{FETCH_RATE: 200_000.0})
        answers = [
            await client.ask(FETCH, 12, **asked, session_id=session, session_epoch=n, topics=[])
            for n in range(1, 5)
        ]
        assert [a["error_code"] for a in answers] == [0] * 4
        assert {a["session_id"] for a in answers} == {session}


@pytest.mark.parametrize("version", [5, 7])
async def test_topics_beyond_the_quota_are_refused_where_the_client_knows_the_error(
    tmp_path: Path, version: int
) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        await limit(rig, {"user": None}, **{MUTATIONS: 1.0})
        answer = await client.ask(
            CREATE_TOPICS, version, topics=[topic("a", 30, 1), topic("b", 1, 1)],
            timeout_ms=1000, validate_only=False,
        )  # fmt: skip
        codes = {t["name"]: t["error_code"] for t in answer["topics"]}
        assert codes == {"a": 0, "b": THROTTLED if version == 7 else 0}
        wait_s = 19 if version == 7 else 20
        assert waited(answer) == pytest.approx(wait_s * 1000, abs=1000)


async def test_topics_made_on_first_use_count_too(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        await limit(rig, {"user": None}, **{MUTATIONS: 0.2})

        async def asks_for(name: str) -> int:
            asked = {"topics": [{"name": name}], "allow_auto_topic_creation": True}
            return (await client.ask(METADATA, 4, **asked))["topics"][0]["error_code"]

        codes = [await asks_for(f"made-{number}") for number in range(4)]
        assert codes == [0, 0, 0, 3], "eleven seconds' worth and one that goes over"


async def test_deletions_and_new_partitions_count_too(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig:
        await rig.create("u", 20)
        await limit(rig, {"client-id": "test"}, **{MUTATIONS: 1.0})
        named = [{"name": "u", "topic_id": None}]
        deleted = await rig(20, 6, topics=named)
        assert deleted["responses"][0]["error_code"] == 0
        assert waited(deleted) == 0
        more = [{"name": "t", "count": 2, "assignments": None}]
        grown = await rig(37, 3, topics=more, validate_only=False)
        assert grown["results"][0]["error_code"] == THROTTLED
        assert waited(grown) > 8000
        grown = await rig(37, 2, topics=more, validate_only=False)
        assert grown["results"][0]["error_code"] == 0
        deleted = await rig(20, 6, topics=[{"name": "t", "topic_id": None}])
        assert deleted["responses"][0]["error_code"] == THROTTLED


async def test_a_client_that_takes_too_much_of_the_loop_waits_a_second_at_most(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        await limit(rig, {"client-id": None}, **{SHARE: 0.000_001})
        told = await client.ask(METADATA, 4, topics=None, allow_auto_topic_creation=False)
        assert waited(told) == 1000
        assert rig.broker.quotas.request.of("", "app", 0).used > 0


async def test_the_time_of_a_request_that_waits_is_the_loops_alone(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        await limit(rig, {"client-id": None}, **{SHARE: 100.0})
        client.fetch(max_wait_ms=400)
        await client.answer()
        used = rig.broker.quotas.request.of("", "app", 0).used
        assert 0 < used < 10, "400 ms of the loop would be 40 percent"


async def test_connections_beyond_the_rate_are_not_read_and_then_closed(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig:
        await limit(rig, {"ip": "127.0.0.1"}, **{CONNECTIONS: 1.0})
        async with asyncio.timeout(DEADLINE_S):
            answered = 0
            began = rig.broker.loop.time()
            for _ in range(11):
                async with Client(rig.broker) as client:
                    await client.ask(METADATA, 4, topics=[], allow_auto_topic_creation=False)
                    answered += 1
            assert answered == 11
            async with Client(rig.broker) as client:
                client.send(METADATA, 4, topics=[], allow_auto_topic_creation=False)
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await client.answer()
                assert rig.broker.loop.time() - began >= 1 - SOON_S
        assert await limit(rig, {"ip": "127.0.0.1"}, **{CONNECTIONS: None}) == 0
        async with Client(rig.broker) as client:
            await client.ask(METADATA, 4, topics=[], allow_auto_topic_creation=False)


async def test_the_control_listener_is_exempt(tmp_path: Path) -> None:
    listeners = "PLAINTEXT://127.0.0.1:0,CONTROL://127.0.0.1:0"
    async with broker(tmp_path, listeners=listeners) as rig:
        for key in (RATE, FETCH_RATE, SHARE):
            await limit(rig, {"user": None}, **{key: 1.0})
        await limit(rig, {"ip": None}, **{CONNECTIONS: 1.0})
        for _ in range(12):
            async with Client(rig.broker, listener=1) as peer:
                peer.produce(10_000)
                assert waited(await peer.answer()) == 0
                peer.fetch()
                assert waited(await peer.answer()) == 0
                asked = {"topics": [], "allow_auto_topic_creation": False}
                assert waited(await peer.ask(METADATA, 4, **asked)) == 0


async def test_metrics_say_who_is_throttled(tmp_path: Path) -> None:
    from headrace.server.metrics import render

    async with broker(tmp_path) as rig, Client(rig.broker) as client:
        await limit(rig, {"client-id": "app"}, **{RATE: 100_000.0})
        client.produce(60_000)
        told = waited(await client.answer())
        page = "".join([chunk async for chunk in render(rig.broker)])
        mine = 'quota="produce",user="",client_id="app"'
        assert f'kafka_server_produce_throttle_time{{user="",client_id="app"}} {told}.0\n' in page
        assert f"headrace_quota_limit{{{mine}}} 100000.0\n" in page
        assert f"headrace_quota_throttled_total{{{mine}}} 1\n" in page
        assert f"headrace_quota_throttle_seconds_total{{{mine}}} {told / 1000}\n" in page


async def test_quotas_are_there_after_a_restart(tmp_path: Path) -> None:
    async with broker(tmp_path) as rig:
        await limit(rig, {"user": None, "client-id": "app"}, **{RATE: 5.0, SHARE: 50.0})
    async with running(tmp_path) as rig:
        answer = await rig(48, 1, components=[], strict=False)
        assert answer["entries"] == [
            {
                "entity": [
                    {"entity_type": "user", "entity_name": None},
                    {"entity_type": "client-id", "entity_name": "app"},
                ],
                "values": [{"key": RATE, "value": 5.0}, {"key": SHARE, "value": 50.0}],
            }
        ]
        assert rig.broker.quotas.active
