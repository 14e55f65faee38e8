"""Describing and altering configs of topics, brokers and what else has a type number."""

from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.setting import topic

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3

VALUES = {
    "cleanup.policy": ("compact", "delete", "delete,compact", "", "none", "compact,compact"),
    "compression.type": ("gzip", "zstd", "uncompressed", "producer", "rar", "GZIP"),
    "delete.retention.ms": ("0", "-1", "86400000", "9223372036854775807", "9223372036854775808"),
    "file.delete.delay.ms": ("0", "-1", "60000"),
    "flush.messages": ("1", "0", "-1"),
    "flush.ms": ("0", "-1", "1000"),
    "index.interval.bytes": ("0", "-1", "4096"),
    "max.compaction.lag.ms": ("1", "0", "9223372036854775807"),
    "max.message.bytes": ("0", "-1", "1048588", "2147483647", "2147483648"),
    "message.timestamp.after.max.ms": ("0", "-1", "3600000"),
    "message.timestamp.before.max.ms": ("0", "-1"),
    "message.timestamp.type": ("CreateTime", "LogAppendTime", "createtime"),
    "min.cleanable.dirty.ratio": ("0", "1", "0.5", "-0.1", "1.1", "half"),
    "min.compaction.lag.ms": ("0", "-1"),
    "min.insync.replicas": ("1", "0", "2", "one"),
    "preallocate": ("true", "false", "TRUE", "1"),
    "retention.bytes": ("-1", "0", "-2"),
    "retention.ms": ("-1", "0", "-2", " 5 ", "5.0", "0x10"),
    "segment.bytes": ("1048576", "1048575", "14", "2147483647"),
    "segment.index.bytes": ("4", "3", "1024"),
    "segment.jitter.ms": ("0", "-1"),
    "segment.ms": ("1", "0"),
    "unclean.leader.election.enable": ("true", "maybe"),
}
"""Values of topic configs: good ones, and ones at and beyond their bounds."""


def resource(kind: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"resource_type": kind, "resource_name": name, **fields}


def incrementally(
    peer: Peer, kind: int, name: str, *changes: tuple[int, str, str | None], dry: bool = False
) -> Any:
    configs = [{"name": key, "config_operation": op, "value": v} for op, key, v in changes]
    asked = [resource(kind, name, configs=configs)]
    return peer.ask("incremental_alter_configs", 1, resources=asked, validate_only=dry)


def describe(
    peer: Peer, kind: int, name: str, *keys: str, synonyms: bool = True, until: Any = None
) -> Any:
    asked = [resource(kind, name, configuration_keys=list(keys) or None)]
    fields = {
        "resources": asked,
        "include_synonyms": synonyms,
        "include_documentation": False,
    }
    if until is None:
        return peer.ask("describe_configs", 4, **fields)
    return peer.until(until, "describe_configs", 4, **fields)


def holds(key: str, value: str | None, source: int | None = None) -> Any:
    """A condition on a DescribeConfigs answer: the key has the value (None: its default)."""

    def done(answer: Any) -> bool:
        found = [c for c in answer.results[0].configs if c.name == key]
        if not found:
            return False
        if value is None:
            return found[0].config_source != 1
        return found[0].value == value and source in (None, found[0].config_source)

    return done


def _values_of(key: str, values: tuple[str, ...]) -> Any:
    def play(peer: Peer) -> None:
        where = topic(peer, configs={})
        for value in values:
            answer = incrementally(peer, TOPIC, where.name, (SET, key, value))
            if answer is not None and not answer.responses[0].error_code:
                describe(peer, TOPIC, where.name, key, until=holds(key, value.strip(), 1))
        incrementally(peer, TOPIC, where.name, (DELETE, key, None))
        describe(peer, TOPIC, where.name, key, until=holds(key, None))

    play.__name__ = key
    play.__module__ = __name__
    return play


for _key, _values in VALUES.items():
    sequence(_values_of(_key, _values))


@sequence
def append_and_subtract(peer: Peer) -> None:
    where = topic(peer, configs={})
    key = "cleanup.policy"
    incrementally(peer, TOPIC, where.name, (APPEND, key, "compact"))
    describe(peer, TOPIC, where.name, key, until=holds(key, "delete,compact"))
    incrementally(peer, TOPIC, where.name, (APPEND, key, "compact"))
    incrementally(peer, TOPIC, where.name, (SUBTRACT, key, "delete"))
    describe(peer, TOPIC, where.name, key, until=holds(key, "compact"))
    incrementally(peer, TOPIC, where.name, (SUBTRACT, key, "nothing"))
    incrementally(peer, TOPIC, where.name, (APPEND, "retention.ms", "1"))
    incrementally(peer, TOPIC, where.name, (SUBTRACT, "no.such.key", "1"))
    incrementally(peer, TOPIC, where.name, (9, key, "1"))


@sequence
def one_key_twice(peer: Peer) -> None:
    where = topic(peer, configs={})
    changes = ((SET, "retention.ms", "1"), (DELETE, "retention.ms", None))
    incrementally(peer, TOPIC, where.name, *changes)
    describe(peer, TOPIC, where.name, "retention.ms")


@sequence
def one_resource_twice(peer: Peer) -> None:
    where = topic(peer, configs={})
    one = resource(
        TOPIC,
        where.name,
        configs=[{"name": "retention.ms", "config_operation": SET, "value": "5"}],
    )
    peer.ask("incremental_alter_configs", 1, resources=[one, one], validate_only=False)


@sequence
def a_null_value(peer: Peer) -> None:
    where = topic(peer, configs={})
    for operation in (SET, APPEND, SUBTRACT, DELETE):
        incrementally(peer, TOPIC, where.name, (operation, "cleanup.policy", None))


@sequence
def a_bad_change_spoils_the_good_one(peer: Peer) -> None:
    where = topic(peer, configs={})
    changes = ((SET, "retention.ms", "77"), (SET, "no.such.key", "1"))
    incrementally(peer, TOPIC, where.name, *changes)
    describe(peer, TOPIC, where.name, "retention.ms")


@sequence
def no_change_at_all(peer: Peer) -> None:
    where = topic(peer, configs={})
    incrementally(peer, TOPIC, where.name)
    peer.ask("incremental_alter_configs", 1, resources=[], validate_only=False)


@sequence
def validate_only_changes_nothing(peer: Peer) -> None:
    where = topic(peer, configs={})
    incrementally(peer, TOPIC, where.name, (SET, "retention.ms", "77"), dry=True)
    incrementally(peer, TOPIC, where.name, (SET, "retention.ms", "x"), dry=True)
    describe(peer, TOPIC, where.name, "retention.ms")


@sequence
def topics_that_are_not_there(peer: Peer) -> None:
    for name in (peer.name("none"), "", "bad name"):
        incrementally(peer, TOPIC, name, (SET, "retention.ms", "77"))
        describe(peer, TOPIC, name, "retention.ms")
        asked = [resource(TOPIC, name, configs=[{"name": "retention.ms", "value": "1"}])]
        peer.ask("alter_configs", 2, resources=asked, validate_only=False)


@sequence
def replace_all_of_a_topic(peer: Peer) -> None:
    where = topic(peer, configs={"retention.ms": "1000", "flush.ms": "5"})

    def replace(**configs: str | None) -> None:
        given = [{"name": k.replace("_", "."), "value": v} for k, v in configs.items()]
        asked = [resource(TOPIC, where.name, configs=given)]
        peer.ask("alter_configs", 2, resources=asked, validate_only=False)

    keys = ("retention.ms", "flush.ms", "segment.ms")
    replace(segment_ms="99")
    describe(peer, TOPIC, where.name, *keys, until=holds("segment.ms", "99"))
    replace(no_such_key="1")
    replace(segment_ms=None)
    replace()
    describe(peer, TOPIC, where.name, *keys, until=holds("segment.ms", None))


@sequence
def describe_every_topic_config(peer: Peer) -> None:
    where = topic(peer, configs={"retention.ms": "1000", "cleanup.policy": "compact"})
    describe(peer, TOPIC, where.name)
    describe(peer, TOPIC, where.name, synonyms=False)
    describe(peer, TOPIC, where.name, "no.such.key", "retention.ms")


@sequence
def describe_asked_for_nothing(peer: Peer) -> None:
    where = topic(peer, configs={})
    asked = [resource(TOPIC, where.name, configuration_keys=[])]
    for resources in (asked, []):
        peer.ask(
            "describe_configs",
            4,
            resources=resources,
            include_synonyms=False,
            include_documentation=False,
        )


@sequence
def broker_configs(peer: Peer) -> None:
    key = "message.max.bytes"
    for name in ("1", "", "2", "x", "-1"):
        describe(peer, BROKER, name, "num.partitions", "log.retention.ms", "log.segment.bytes")
    for value in ("2", "0", "many"):
        incrementally(peer, BROKER, "1", (SET, key, value), dry=True)
    incrementally(peer, BROKER, "1", (SET, "node.id", "4"), dry=True)
    incrementally(peer, BROKER, "1", (SET, "no.such.key", "4"), dry=True)
    incrementally(peer, BROKER, "2", (SET, key, "1"), dry=True)
    incrementally(peer, BROKER, "x", (SET, key, "1"), dry=True)


@sequence
def broker_defaults_reach_topics(peer: Peer) -> None:
    where = topic(peer, configs={})
    incrementally(peer, BROKER, "", (SET, "log.retention.bytes", "123456789"))
    key = "retention.bytes"
    describe(peer, TOPIC, where.name, key, until=holds(key, "123456789"))
    incrementally(peer, BROKER, "1", (SET, "log.retention.bytes", "12345"))
    describe(peer, TOPIC, where.name, key, until=holds(key, "12345"))
    incrementally(peer, BROKER, "1", (DELETE, "log.retention.bytes", None))
    incrementally(peer, BROKER, "", (DELETE, "log.retention.bytes", None))
    describe(peer, TOPIC, where.name, key, until=holds(key, "-1"))


@sequence
def types_that_nobody_knows(peer: Peer) -> None:
    for kind in (0, 1, 3, 64, 127):
        describe(peer, kind, "x")
        incrementally(peer, kind, "x", (SET, "a", "b"))


@sequence
def group_and_metrics_and_logger_configs(peer: Peer) -> None:
    describe(peer, GROUP, peer.name("g"), "consumer.session.timeout.ms")
    describe(peer, GROUP, "")
    incrementally(peer, GROUP, peer.name("g"), (SET, "no.such.key", "1"))
    describe(peer, CLIENT_METRICS, "none")
    incrementally(peer, CLIENT_METRICS, "", (SET, "interval.ms", "100"))
    incrementally(peer, CLIENT_METRICS, "m", (SET, "no.such.key", "100"))
    describe(peer, LOGGER, "2")
    incrementally(peer, LOGGER, "1", (SET, "no.such.logger", "INFO"), dry=True)
    incrementally(peer, LOGGER, "2", (SET, "root", "INFO"), dry=True)


@sequence
def list_resources(peer: Peer) -> None:
    for kinds in ([16], [32], [4], [99], [4, 16]):
        peer.ask("list_config_resources", 1, resource_types=kinds)
