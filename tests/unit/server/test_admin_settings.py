"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources on a real broker.

The codes and sources were compared with Apache Kafka 4.3 by sending both the same requests.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from headrace.base.errors import Code
from headrace.server import logs

from tests.unit.server.admin_rig import (
    APPEND,
    BROKER,
    DELETE,
    GROUP,
    LOGGER,
    METRICS,
    SET,
    SUBTRACT,
    TOPIC,
    Rig,
    running,
)


@pytest_asyncio.fixture(loop_scope="function")
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path / "data", log_retention_hours="5") as started:
        await started.create("t")
        yield started


async def value(rig: Rig, kind: int, name: str, key: str) -> tuple[str | None, int]:
    found = (await rig.describe(kind, name, key))[key]
    return found["value"], found["config_source"]


async def test_sources_from_the_default_up_to_the_topic(rig: Rig) -> None:
    assert await value(rig, TOPIC, "t", "segment.bytes") == (str(2**30), 5)
    assert await rig.alter(BROKER, "", ("log.segment.bytes", "2000000", SET)) == (0, None)
    assert await value(rig, TOPIC, "t", "segment.bytes") == ("2000000", 3)
    await rig.alter(BROKER, "1", ("log.segment.bytes", "3000000", SET))
    assert await value(rig, TOPIC, "t", "segment.bytes") == ("3000000", 2)
    await rig.alter(TOPIC, "t", ("segment.bytes", "4000000", SET))
    found = (await rig.describe(TOPIC, "t", "segment.bytes"))["segment.bytes"]
    assert [(s["name"], s["value"], s["source"]) for s in found["synonyms"]] == [
        ("segment.bytes", "4000000", 1),
        ("log.segment.bytes", "3000000", 2),
        ("log.segment.bytes", "2000000", 3),
        ("log.segment.bytes", str(2**30), 5),
    ]
    await rig.alter(TOPIC, "t", ("segment.bytes", None, DELETE))
    await rig.alter(BROKER, "1", ("log.segment.bytes", None, DELETE))
    assert await value(rig, TOPIC, "t", "segment.bytes") == ("2000000", 3)


async def test_dynamic_settings_reach_open_logs_and_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        await rig.create("t")
        log = rig.broker.partitions.get("t", 0).log  # type: ignore[union-attr]
        await rig.alter(BROKER, "", ("message.max.bytes", "5000", SET))
        assert log.settings.max_message_bytes == 5000
        assert rig.broker.settings.log.max_message_bytes == 5000
        await rig.alter(TOPIC, "t", ("max.message.bytes", "6000", SET))
        assert log.settings.max_message_bytes == 6000
        await rig.alter(BROKER, "1", ("max.connections", "77", SET))
        assert rig.broker.settings.max_connections == 77
    async with running(tmp_path / "d") as rig:
        assert rig.broker.settings.max_connections == 77
        assert rig.broker.partitions.get("t", 0).log.settings.max_message_bytes == 6000  # type: ignore[union-attr]


async def test_a_static_value_in_another_unit_counts(rig: Rig) -> None:
    """Kafka shows its source as the default; so do we."""
    assert await value(rig, TOPIC, "t", "retention.ms") == (str(5 * 3600 * 1000), 5)
    assert await value(rig, BROKER, "1", "log.retention.hours") == ("5", 4)
    assert await value(rig, BROKER, "1", "log.retention.ms") == (None, 5)


async def test_lists_grow_and_shrink(rig: Rig) -> None:
    await rig.alter(TOPIC, "t", ("cleanup.policy", "compact", APPEND))
    assert await value(rig, TOPIC, "t", "cleanup.policy") == ("delete,compact", 1)
    await rig.alter(TOPIC, "t", ("cleanup.policy", "delete", SUBTRACT))
    assert await value(rig, TOPIC, "t", "cleanup.policy") == ("compact", 1)
    await rig.alter(TOPIC, "t", ("cleanup.policy", "compact", APPEND))
    assert await value(rig, TOPIC, "t", "cleanup.policy") == ("compact", 1)


@pytest.mark.parametrize(
    ("kind", "name", "change", "code"),
    [
        (TOPIC, "t", ("retention.ms", "x", SET), Code.INVALID_CONFIG),
        (TOPIC, "t", ("retention.ms", None, SET), Code.INVALID_REQUEST),
        (TOPIC, "t", ("retention.ms", "5", APPEND), Code.INVALID_CONFIG),
        (TOPIC, "t", ("nope", "5", SET), Code.INVALID_CONFIG),
        (TOPIC, "t", ("nope", None, DELETE), Code.NONE),
        (TOPIC, "t", ("retention.ms", "1", 9), Code.INVALID_REQUEST),
        (TOPIC, "zz", ("retention.ms", "1", SET), Code.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "zz", ("retention.ms", "x", SET), Code.INVALID_CONFIG),
        (TOPIC, "", ("retention.ms", "1", SET), Code.INVALID_REQUEST),
        (TOPIC, "a b", ("retention.ms", "1", SET), Code.INVALID_TOPIC_EXCEPTION),
        (BROKER, "1", ("num.partitions", "2", SET), Code.INVALID_REQUEST),
        (BROKER, "", ("num.partitions", "2", SET), Code.INVALID_REQUEST),
        (BROKER, "2", ("log.retention.ms", "1", SET), Code.INVALID_REQUEST),
        (BROKER, "x", ("log.retention.ms", "1", SET), Code.INVALID_REQUEST),
        (BROKER, "1", ("log.retention.ms", "x", SET), Code.INVALID_REQUEST),
        (BROKER, "1", ("max.connections", "5", APPEND), Code.INVALID_CONFIG),
        (GROUP, "", ("a", "1", SET), Code.INVALID_REQUEST),
        (GROUP, "g", ("a", "1", SET), Code.INVALID_CONFIG),
        (METRICS, "m", ("match", "1", SET), Code.INVALID_REQUEST),
        (3, "t", ("a", "1", SET), Code.INVALID_REQUEST),
        (LOGGER, "1", ("nologger", "INFO", SET), Code.INVALID_CONFIG),
        (LOGGER, "1", ("root", "LOUD", SET), Code.INVALID_CONFIG),
        (LOGGER, "1", ("root", None, DELETE), Code.INVALID_REQUEST),
        (LOGGER, "1", ("root", "INFO", APPEND), Code.INVALID_REQUEST),
        (LOGGER, "2", ("root", "INFO", SET), Code.INVALID_REQUEST),
    ],
)
async def test_what_alter_refuses(
    rig: Rig, kind: int, name: str, change: tuple[str, str | None, int], code: Code
) -> None:
    before = rig.broker.metadata.image
    refused, message = await rig.alter(kind, name, change)
    assert refused == code
    assert (message is None) == (code is Code.NONE)
    assert rig.broker.metadata.image is before


async def test_one_resource_twice_or_one_key_twice_is_refused(rig: Rig) -> None:
    twice = ("retention.ms", "1", SET)
    assert (await rig.alter(TOPIC, "t", twice, twice))[0] == Code.INVALID_REQUEST
    resource = {"resource_type": TOPIC, "resource_name": "t", "configs": []}
    answer = await rig(44, 1, resources=[resource, resource], validate_only=False)
    assert [r["error_code"] for r in answer["responses"]] == [Code.INVALID_REQUEST] * 2


async def test_validate_only_changes_nothing(rig: Rig) -> None:
    configs = [{"name": "retention.ms", "value": "1", "config_operation": SET}]
    resource = {"resource_type": TOPIC, "resource_name": "t", "configs": configs}
    answer = await rig(44, 1, resources=[resource], validate_only=True)
    assert answer["responses"][0]["error_code"] == 0
    assert rig.broker.metadata.image.topics["t"].settings == {}


async def test_alter_configs_replaces_all(rig: Rig) -> None:
    await rig.alter(TOPIC, "t", ("retention.ms", "1", SET), ("segment.ms", "2", SET))

    async def replace(kind: int, name: str, *configs: tuple[str, str | None]) -> int:
        given = [{"name": key, "value": text} for key, text in configs]
        resource = {"resource_type": kind, "resource_name": name, "configs": given}
        answer = await rig(33, 2, resources=[resource], validate_only=False)
        return int(answer["responses"][0]["error_code"])

    assert await replace(TOPIC, "t", ("retention.ms", "3")) == 0
    assert rig.broker.metadata.image.topics["t"].settings == {"retention.ms": "3"}
    assert await replace(TOPIC, "t", ("retention.ms", "4"), ("nope", "1")) == Code.INVALID_CONFIG
    assert rig.broker.metadata.image.topics["t"].settings == {"retention.ms": "3"}
    assert await replace(LOGGER, "1", ("root", "INFO")) == Code.INVALID_REQUEST
    assert await replace(BROKER, "1") == 0


async def test_log_levels_change_while_it_runs(rig: Rig) -> None:
    try:
        assert await rig.alter(LOGGER, "1", ("headrace.log", "ERROR", SET)) == (0, None)
        assert logs.level_of("headrace.log") == "ERROR"
        assert await value(rig, LOGGER, "1", "headrace.log") == ("ERROR", 6)
        await rig.alter(LOGGER, "1", ("headrace.log", None, DELETE))
        assert logs.level_of("headrace.log") == logs.level_of(logs.ROOT)
    finally:
        logs.set_level("headrace.log", None)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "zz", Code.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", Code.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", Code.INVALID_REQUEST),
        (BROKER, "x", Code.INVALID_REQUEST),
        (LOGGER, "", Code.INVALID_REQUEST),
        (LOGGER, "2", Code.INVALID_REQUEST),
        (METRICS, "", Code.INVALID_REQUEST),
        (GROUP, "", Code.INVALID_REQUEST),
        (GROUP, "g", Code.NONE),
        (3, "t", Code.INVALID_REQUEST),
    ],
)
async def test_what_describe_refuses(rig: Rig, kind: int, name: str, code: Code) -> None:
    asked = {"resource_type": kind, "resource_name": name, "configuration_keys": None}
    answer = await rig(32, 4, resources=[asked])
    assert answer["results"][0]["error_code"] == code


async def test_documentation_and_types_are_answered_when_asked(rig: Rig) -> None:
    asked = {"resource_type": BROKER, "resource_name": "1", "configuration_keys": None}
    answer = await rig(32, 4, resources=[asked], include_documentation=True)
    configs = answer["results"][0]["configs"]
    assert len(configs) > 70
    assert all(config["documentation"] and config["config_type"] for config in configs)
    read_only = {config["name"] for config in configs if config["read_only"]}
    assert "num.partitions" in read_only
    assert "log.retention.ms" not in read_only
    answer = await rig(32, 1, resources=[asked])
    assert len(answer["results"][0]["configs"]) == len(configs)


async def test_list_config_resources(rig: Rig) -> None:
    async def listed(*kinds: int) -> list[tuple[int, str]]:
        answer = await rig(74, 1, resource_types=kinds)
        return [(r["resource_type"], r["resource_name"]) for r in answer["config_resources"]]

    assert await listed(TOPIC) == [(TOPIC, "t")]
    assert await listed() == [(TOPIC, "t"), (BROKER, "1"), (LOGGER, "1")]
    assert (await rig(74, 1, resource_types=[99]))["error_code"] == Code.UNSUPPORTED_VERSION
    assert (await rig(74, 0))["config_resources"] == []
