"""The settings of a topic's log, each with the broker setting that gives its default.

Source of names, defaults and bounds: Kafka 4.3's LogConfig, printed by the class itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from headrace.base.units import DAY_MS, GIB, HOUR_MS, INT64_MAX, KIB, MIB, MINUTE_MS
from headrace.config.key import (
    Between,
    BrokerName,
    Key,
    Kind,
    OneOf,
    OneOrBetween,
    Update,
    Value,
    key,
    keys_of,
    unknown,
)

if TYPE_CHECKING:
    from headrace.config.broker import BrokerSettings

CODECS: Final = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
DURABILITIES: Final = ("never", "interval", "ack")
RECORD_VALIDATIONS: Final = ("header", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How one topic's partitions keep their records. Assignable to an open log at any time."""

    cleanup_policy: tuple[str, ...] = key(
        "cleanup.policy",
        ("delete",),
        "delete drops old segments, compact keeps the last record of each key; both may stand "
        "together, and an empty list keeps everything.",
        check=OneOf(("compact", "delete")),
        broker="log.cleanup.policy",
    )
    retention_ms: int = key(
        "retention.ms",
        7 * DAY_MS,
        "How long a record stays before its segment may be dropped; -1 is for ever.",
        check=Between(-1),
        broker=(
            BrokerName(name="log.retention.ms"),
            BrokerName(name="log.retention.minutes", unit=MINUTE_MS, update=Update.READ_ONLY),
            BrokerName(name="log.retention.hours", unit=HOUR_MS, update=Update.READ_ONLY),
        ),
    )
    retention_bytes: int = key(
        "retention.bytes",
        -1,
        "Bytes a partition may hold before its oldest segments are dropped; -1 is no limit.",
        broker="log.retention.bytes",
    )
    segment_bytes: int = key(
        "segment.bytes",
        GIB,
        "Bytes of a segment file before the next one is begun.",
        kind=Kind.INT,
        check=Between(MIB),
        broker="log.segment.bytes",
    )
    segment_ms: int = key(
        "segment.ms",
        7 * DAY_MS,
        "Age of a segment at which the next one is begun even if it is not full.",
        check=Between(1),
        broker=(
            BrokerName(name="log.roll.ms"),
            BrokerName(name="log.roll.hours", unit=HOUR_MS, update=Update.READ_ONLY),
        ),
    )
    segment_jitter_ms: int = key(
        "segment.jitter.ms",
        0,
        "The most that segment.ms is shortened by at random, so that segments of many "
        "partitions do not roll at one moment.",
        check=Between(0),
        broker=(
            BrokerName(name="log.roll.jitter.ms"),
            BrokerName(name="log.roll.jitter.hours", unit=HOUR_MS, update=Update.READ_ONLY),
        ),
    )
    segment_index_bytes: int = key(
        "segment.index.bytes",
        10 * MIB,
        "Bytes of an offset index at which its segment is closed.",
        kind=Kind.INT,
        check=Between(4),
        broker="log.index.size.max.bytes",
    )
    index_interval_bytes: int = key(
        "index.interval.bytes",
        4 * KIB,
        "Bytes of records between two entries of the offset index.",
        kind=Kind.INT,
        check=Between(0),
        broker="log.index.interval.bytes",
    )
    file_delete_delay_ms: int = key(
        "file.delete.delay.ms",
        MINUTE_MS,
        "How long a dropped segment file stays on the disk under another name.",
        check=Between(0),
        broker="log.segment.delete.delay.ms",
    )
    preallocate: bool = key(
        "preallocate",
        False,
        "Accepted and kept; files are never preallocated.",
        kafka="subset",
        broker="log.preallocate",
    )
    delete_retention_ms: int = key(
        "delete.retention.ms",
        DAY_MS,
        "How long compaction keeps a tombstone, so that a slow reader still sees the deletion.",
        check=Between(0),
        broker="log.cleaner.delete.retention.ms",
    )
    min_compaction_lag_ms: int = key(
        "min.compaction.lag.ms",
        0,
        "Age below which a record is never compacted away.",
        check=Between(0),
        broker="log.cleaner.min.compaction.lag.ms",
    )
    max_compaction_lag_ms: int = key(
        "max.compaction.lag.ms",
        INT64_MAX,
        "Age at which a record is compacted even if the log is not dirty enough.",
        check=Between(1),
        broker="log.cleaner.max.compaction.lag.ms",
    )
    min_cleanable_dirty_ratio: float = key(
        "min.cleanable.dirty.ratio",
        0.5,
        "Share of the log that must be uncompacted before the cleaner takes it.",
        check=Between(0, 1),
        broker="log.cleaner.min.cleanable.ratio",
    )
    max_message_bytes: int = key(
        "max.message.bytes",
        1048588,
        "Bytes of the largest record batch that is taken (after the broker's own compression).",
        kind=Kind.INT,
        check=Between(0),
        broker="message.max.bytes",
    )
    message_timestamp_type: str = key(
        "message.timestamp.type",
        "CreateTime",
        "CreateTime keeps the producer's timestamp, LogAppendTime writes the broker's.",
        check=OneOf(("CreateTime", "LogAppendTime")),
        broker="log.message.timestamp.type",
    )
    message_timestamp_before_max_ms: int = key(
        "message.timestamp.before.max.ms",
        INT64_MAX,
        "How far a record's timestamp may lie before the broker's clock.",
        check=Between(0),
        broker="log.message.timestamp.before.max.ms",
    )
    message_timestamp_after_max_ms: int = key(
        "message.timestamp.after.max.ms",
        HOUR_MS,
        "How far a record's timestamp may lie after the broker's clock.",
        check=Between(0),
        broker="log.message.timestamp.after.max.ms",
    )
    compression_type: str = key(
        "compression.type",
        "producer",
        "The codec records are kept in; producer keeps each batch as it came.",
        check=OneOf(CODECS),
        broker="compression.type",
    )
    compression_gzip_level: int = key(
        "compression.gzip.level",
        -1,
        "Level where compression.type is gzip; -1 is the library's choice.",
        kind=Kind.INT,
        check=OneOrBetween(-1, Between(1, 9)),
        broker="compression.gzip.level",
    )
    compression_lz4_level: int = key(
        "compression.lz4.level",
        9,
        "Level where compression.type is lz4.",
        kind=Kind.INT,
        check=Between(1, 17),
        broker="compression.lz4.level",
    )
    compression_zstd_level: int = key(
        "compression.zstd.level",
        3,
        "Level where compression.type is zstd.",
        kind=Kind.INT,
        check=Between(-131072, 22),
        broker="compression.zstd.level",
    )
    min_insync_replicas: int = key(
        "min.insync.replicas",
        1,
        "Replicas that must hold a record before a producer with acks=all hears of it.",
        kind=Kind.INT,
        check=Between(1),
        broker="min.insync.replicas",
    )
    unclean_leader_election_enable: bool = key(
        "unclean.leader.election.enable",
        False,
        "Accepted and kept until there are several replicas: whether one that may lack "
        "acknowledged records can be made leader.",
        kafka="subset",
        broker="unclean.leader.election.enable",
    )
    flush_messages: int = key(
        "flush.messages",
        INT64_MAX,
        "Accepted and kept; durability says what is flushed when.",
        check=Between(1),
        kafka="subset",
        broker=(BrokerName(name="log.flush.interval.messages"),),
    )
    flush_ms: int = key(
        "flush.ms",
        INT64_MAX,
        "Accepted and kept; durability says what is flushed when.",
        check=Between(0),
        kafka="subset",
        broker=(
            BrokerName(name="log.flush.interval.ms"),
            BrokerName(name="log.flush.scheduler.interval.ms", update=Update.READ_ONLY),
        ),
    )
    durability: str = key(
        "durability",
        "never",
        "What a power cut may take of what was acknowledged: never = what the kernel had not "
        "written, interval = the last durability.interval.ms, ack = nothing. A killed process "
        "loses nothing in any of them. never is as safe as Kafka's default.",
        check=OneOf(DURABILITIES),
        kafka="extension",
        broker="durability",
    )
    durability_interval_ms: int = key(
        "durability.interval.ms",
        1000,
        "Time between two flushes of a log with durability=interval.",
        check=Between(1),
        kafka="extension",
        broker="durability.interval.ms",
    )
    record_validation: str = key(
        "record.validation",
        "header",
        "header checks a batch's header and CRC; full walks its records as well, at the cost "
        "of the broker's speed. Compacted topics are always walked.",
        check=OneOf(RECORD_VALIDATIONS),
        kafka="extension",
        broker="record.validation",
    )


LOG_FIELDS: Final[dict[str, Key]] = keys_of(fields(LogSettings))
"""Field name to descriptor."""

TOPIC_KEYS: Final[dict[str, Key]] = {k.name: k for k in LOG_FIELDS.values()}
"""Kafka's key to descriptor."""

_FIELD_OF: Final = {k.name: name for name, k in LOG_FIELDS.items()}


def log_settings(broker: "BrokerSettings", overrides: Mapping[str, str]) -> LogSettings:
    """The broker's defaults under a topic's own settings. Raises SettingError."""
    if not overrides:
        return broker.log
    changed: dict[str, Value] = {}
    for name, text in overrides.items():
        if name not in TOPIC_KEYS:
            raise unknown(name, TOPIC_KEYS, "topic")
        changed[_FIELD_OF[name]] = TOPIC_KEYS[name].parse(text)
    return replace(broker.log, **changed)  # type: ignore[arg-type]
