"""A broker of one topic for tests of the client: it answers by script, and keeps what it accepts.

It checks sequences as Kafka does, so a client that reorders, or repeats under new sequences, is
caught: `log` then shows it.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self
from uuid import UUID

from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.wire import versions
from headrace.wire.batch import read_batch_header
from headrace.wire.framing import RequestHeader, read_header
from headrace.wire.messages import read_request, write_response
from headrace.wire.records import walk

TOPIC = "t"
TOPIC_ID = UUID(int=1)

Answer = Code | None | str
"""To one Produce: NONE to append, another code to refuse; "drop" closes the connection before the
append, "lose" after it; None is no answer at all."""


class ScriptedBroker:
    """An async context manager; `script(n)` says what happens to the n-th Produce."""

    def __init__(self, script: Callable[[int], Answer] = lambda _: Code.NONE) -> None:
        self.log: list[bytes | None] = []
        self.requests: list[tuple[int, int, int]] = []
        """(producer id, first sequence, records) of every Produce that came."""
        self.producers_made = 0
        self._script = script
        self._grown = asyncio.Event()
        self._expected: dict[int, int] = {}
        self._written: dict[tuple[int, int], int] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> Address:
        assert self._server is not None
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def holds(self, count: int) -> None:
        """Return once the log has so many records."""
        while len(self.log) < count:
            self._grown.clear()
            await self._grown.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                frame = await reader.readexactly(size)
                header = read_header(frame)
                request = read_request(header.api_key, header.api_version, frame, header.body)
                if not self._answer(header, request, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    def _answer(self, header: RequestHeader, request: Any, writer: asyncio.StreamWriter) -> bool:
        if header.api_key == versions.PRODUCE:
            answer = self._script(len(self.requests))
            data = request.topic_data[0].partition_data[0].records
            fields = self._produce(data, answer)
            if answer in ("drop", "lose"):
                return False
            self._grown.set()
            if answer is None or request.acks == 0:
                return True
        else:
            fields = self._other(header.api_key)
        writer.write(
            write_response(header.api_key, header.api_version, header.correlation_id, fields)
        )
        return True

    def _produce(self, data: bytes, answer: Answer) -> Mapping[str, Any]:
        header = read_batch_header(memoryview(data), 0)
        who, sequence = header.producer_id, header.base_sequence
        self.requests.append((who, sequence, header.record_count))
        code, offset = Code.NONE, -1
        if answer in (Code.NONE, "lose"):
            if who < 0:
                offset = len(self.log)
                self.log += [record.value for record in walk(data)]
            elif (who, sequence) in self._written:
                offset = self._written[who, sequence]
            elif sequence != self._expected.get(who, 0):
                code = Code.OUT_OF_ORDER_SEQUENCE_NUMBER
            else:
                offset = self._written[who, sequence] = len(self.log)
                self._expected[who] = sequence + header.record_count
                self.log += [record.value for record in walk(data)]
        elif isinstance(answer, Code):
            code = answer
        partition = {
            "index": 0,
            "error_code": code,
            "base_offset": offset,
            "log_append_time_ms": -1,
            "log_start_offset": 0,
            "record_errors": [],
        }
        topic = {"topic_id": TOPIC_ID, "name": TOPIC, "partition_responses": [partition]}
        return {"responses": [topic]}

    def _other(self, api_key: int) -> Mapping[str, Any]:
        if api_key == versions.API_VERSIONS:
            keys = [
                {"api_key": a.key, "min_version": a.advertised_from, "max_version": a.max_version}
                for a in versions.APIS.values()
            ]
            return {"error_code": 0, "api_keys": keys}
        if api_key == versions.INIT_PRODUCER_ID:
            self.producers_made += 1
            return {"error_code": 0, "producer_id": self.producers_made, "producer_epoch": 0}
        assert api_key == versions.METADATA, api_key
        broker = {"node_id": 1, "host": self.address.host, "port": self.address.port, "rack": None}
        partition = {
            "error_code": 0,
            "partition_index": 0,
            "leader_id": 1,
            "leader_epoch": 0,
            "replica_nodes": [1],
            "isr_nodes": [1],
            "offline_replicas": [],
        }
        topic = {
            "error_code": 0,
            "name": TOPIC,
            "topic_id": TOPIC_ID,
            "is_internal": False,
            "partitions": [partition],
        }
        return {
            "brokers": [broker],
            "cluster_id": "c",
            "controller_id": 1,
            "topics": [topic],
            "error_code": 0,
        }
