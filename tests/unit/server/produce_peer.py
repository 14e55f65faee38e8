"""A client that produces to a broker of this process, over a real connection."""

import asyncio
from typing import Any

from headrace.wire import messages
from headrace.wire.versions import CREATE_TOPICS, PRODUCE

from tests.unit.server.admin_rig import Rig, topic

_VERSION = 9


class Peer:
    """A client that sends many requests before it reads an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def produce(self, number: int, batches: list[tuple[str, bytearray]], acks: int = -1) -> None:
        """Send a request with that correlation id: (topic, batch) each to partition 0."""
        topics = [
            {"name": name, "partition_data": [{"index": 0, "records": bytes(batch)}]}
            for name, batch in batches
        ]
        request = {"acks": acks, "timeout_ms": 10_000, "topic_data": topics}
        self.writer.write(messages.write_request(PRODUCE, _VERSION, number, "test", request))

    async def frame(self) -> bytes:
        """The next answer, without its size."""
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)

    async def produced(self, number: int) -> list[tuple[str, int, int]]:
        """The next answer, which must be to that request: (topic, code, base offset) of each."""
        frame = await self.frame()
        assert int.from_bytes(frame[:4], "big") == number
        answer: Any = messages.read_response(PRODUCE, _VERSION, memoryview(frame))
        return [
            (item.name, int(part.error_code), part.base_offset)
            for item in answer.responses
            for part in item.partition_responses
        ]


async def connected(rig: Rig) -> Peer:
    """With topic c, which is compacted, and topic plain."""
    endpoint = rig.broker.kafka_endpoints[0]
    peer = Peer(*await asyncio.open_connection(endpoint.host, endpoint.port))
    topics = [topic("c", 1, configs=[("cleanup.policy", "compact")]), topic("plain", 1)]
    request = {"topics": topics, "timeout_ms": 1000, "validate_only": False}
    peer.writer.write(messages.write_request(CREATE_TOPICS, 5, 0, "test", request))
    await peer.frame()
    return peer
