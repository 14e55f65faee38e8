"""A real broker in a folder, asked through its handlers: every frame is encoded and decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from inspect import isawaitable
from pathlib import Path
from typing import Any
from uuid import UUID

from headrace.server.apis import HANDLERS
from headrace.server.broker import Broker
from headrace.server.dispatch import RequestContext
from headrace.wire import messages
from headrace.wire.framing import read_header

ZERO = UUID(int=0)
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
_TIMED = {19, 20, 21, 37, 43, 45, 46, 57}
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


class Rig:
    """`await rig(api_key, version, field=...)` gives the decoded answer as plain values."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def __call__(self, api_key: int, version: int, /, **request: Any) -> Any:
        if api_key in _TIMED:
            request = {"timeout_ms": 60_000, **request}
        frame = memoryview(messages.write_request(api_key, version, 1, "test", request))[4:]
        header = read_header(frame)
        entity = messages.read_request(api_key, version, frame, header.body)
        context = RequestContext(version, "test", "PLAINTEXT", "127.0.0.1")
        answer: Any = HANDLERS[api_key](self.broker, entity, context)
        if isawaitable(answer):
            answer = await answer
        encoded = messages.write_response(api_key, version, 1, answer)
        return plain(messages.read_response(api_key, version, memoryview(encoded)[4:]))

    async def create(self, name: str, partitions: int = 1, **settings: str) -> Any:
        """A topic; settings with underscores for dots. Answers its one result."""
        configs = [(key.replace("_", "."), value) for key, value in settings.items()]
        answer = await self(
            19, 7, topics=[topic(name, partitions, configs=configs)], validate_only=False
        )
        return answer["topics"][0]

    async def describe(self, kind: int, name: str, *keys: str) -> dict[str, Any]:
        """Settings of one resource by key."""
        asked = {"resource_type": kind, "resource_name": name, "configuration_keys": keys or None}
        answer = await self(32, 4, resources=[asked], include_synonyms=True)
        result = answer["results"][0]
        assert result["error_code"] == 0, result
        return {config["name"]: config for config in result["configs"]}

    async def alter(self, kind: int, name: str, *changes: tuple[str, str | None, int]) -> Any:
        """IncrementalAlterConfigs of one resource: (code, message)."""
        configs = [
            dict(zip(("name", "value", "config_operation"), c, strict=True)) for c in changes
        ]
        asked = {"resource_type": kind, "resource_name": name, "configs": configs}
        answer = await self(44, 1, resources=[asked], validate_only=False)
        response = answer["responses"][0]
        return response["error_code"], response["error_message"]


@asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncIterator[Rig]:
    """A broker on a free port; settings with underscores for dots."""
    given = {key.replace("_", "."): value for key, value in settings.items()}
    broker = Broker(
        {
            "log.dirs": str(folder),
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "http.port": "-1",
            **given,
        }
    )
    await broker.start()
    try:
        yield Rig(broker)
    finally:
        await broker.close()


def topic(
    name: str,
    partitions: int = -1,
    factor: int = -1,
    assignments: tuple[tuple[int, tuple[int, ...]], ...] = (),
    configs: list[tuple[str, str | None]] | tuple[()] = (),
) -> dict[str, Any]:
    """One topic of CreateTopics."""
    return {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": factor,
        "assignments": [{"partition_index": i, "broker_ids": b} for i, b in assignments],
        "configs": [{"name": key, "value": value} for key, value in configs],
    }


def plain(value: Any) -> Any:
    """kio entities as dicts, error codes as ints."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
