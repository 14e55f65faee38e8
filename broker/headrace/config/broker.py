"""The settings of a broker. Defaults of topics (`log.*` and the like) come from config.topic.

Source of Kafka's names and defaults: Kafka 4.3's KafkaConfig, printed by the class itself.
"""

from dataclasses import dataclass, field, fields
from typing import Final

from headrace.base.units import DAY_MS, INT32_MAX, KIB, MIB, MINUTE_MS, SECOND_MS
from headrace.config.key import Between, Key, Kind, OneOf, Update, key, keys_of
from headrace.config.topic import LogSettings

_LIVE: Final = Update.CLUSTER_WIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Everything a broker can be told. `log` holds the defaults of every topic's log."""

    log: LogSettings = field(default_factory=LogSettings)

    # Who this broker is and where it is reached.
    node_id: int = key(
        "node.id",
        1,
        "The broker's number, kept in its data folder.",
        kind=Kind.INT,
        check=Between(0),
        kafka="subset",
    )
    broker_rack: str | None = key(
        "broker.rack", None, "The failure zone this broker stands in; none by default."
    )
    data_dir: str = key(
        "log.dirs",
        "headrace-data",
        "The folder that holds all data, one a broker; also written data.dir or log.dir.",
        kafka="subset",
    )
    listeners: tuple[str, ...] = key(
        "listeners",
        ("PLAINTEXT://:9092",),
        "Addresses to listen on, NAME://host:port; an empty host is every interface, port 0 "
        "a free one. Plain TCP only in this release.",
        kafka="subset",
    )
    advertised_listeners: tuple[str, ...] = key(
        "advertised.listeners",
        (),
        "Addresses given to clients, NAME://host:port; the listeners themselves where it is empty. "
        "A listener that is left out is not advertised. A change registers the broker anew, and "
        "keeps its connections.",
        update=Update.PER_BROKER,
    )
    control_listener_name: str = key(
        "control.listener.name",
        "CONTROL",
        "The listener for the other brokers and the operator, if there is one of that name. "
        "Quotas do not apply to it.",
        kafka="extension",
    )
    http_host: str = key(
        "http.host",
        "127.0.0.1",
        "Interface for metrics and health; empty is every interface.",
        kafka="extension",
    )
    http_port: int = key(
        "http.port",
        9404,
        "Port for /metrics, /healthz, /readyz and /status; 0 is a free one, -1 none.",
        kind=Kind.INT,
        check=Between(-1, 65535),
        kafka="extension",
    )
    logging_level: str = key(
        "logging.level",
        "INFO",
        "What the broker logs about itself from its start; broker loggers change it live.",
        check=OneOf(("DEBUG", "INFO", "WARN", "ERROR")),
        kafka="extension",
    )

    # Topics.
    num_partitions: int = key(
        "num.partitions",
        1,
        "Partitions of a topic created without saying how many.",
        kind=Kind.INT,
        check=Between(1),
    )
    default_replication_factor: int = key(
        "default.replication.factor",
        1,
        "Replicas of a topic created without saying how many. This release keeps one replica of "
        "each partition and refuses more.",
        kind=Kind.INT,
        check=Between(1),
    )
    auto_create_topics_enable: bool = key(
        "auto.create.topics.enable", True, "Whether a topic is created when it is first asked for."
    )
    delete_topic_enable: bool = key(
        "delete.topic.enable", True, "Whether topics can be deleted at all."
    )
    partitions_per_request_max: int = key(
        "partitions.per.request.max",
        10_000,
        "Partitions that one CreateTopics or CreatePartitions request may make, the bound that "
        "Kafka has built in.",
        kind=Kind.INT,
        check=Between(1),
        kafka="extension",
    )

    # Connections and requests.
    max_connections: int = key(
        "max.connections",
        INT32_MAX,
        "Connections held at once; a further one is closed when it is accepted.",
        kind=Kind.INT,
        check=Between(0),
        update=_LIVE,
    )
    max_connections_per_ip: int = key(
        "max.connections.per.ip",
        INT32_MAX,
        "Connections held at once from one address.",
        kind=Kind.INT,
        check=Between(0),
        update=_LIVE,
    )
    connections_max_idle_ms: int = key(
        "connections.max.idle.ms", 10 * MINUTE_MS, "Silence after which a connection is closed."
    )
    socket_listen_backlog_size: int = key(
        "socket.listen.backlog.size",
        50,
        "Connections the kernel may hold before they are accepted.",
        kind=Kind.INT,
        check=Between(1),
    )
    socket_request_max_bytes: int = key(
        "socket.request.max.bytes",
        100 * MIB,
        "Bytes of the largest Produce request; a larger one closes its connection unread.",
        kind=Kind.INT,
        check=Between(1),
    )
    request_control_max_bytes: int = key(
        "request.control.max.bytes",
        2 * MIB,
        "Bytes of the largest request of any other kind. Decoding makes objects of some twenty "
        "times its bytes, so this bounds the memory one request can take.",
        kind=Kind.INT,
        check=Between(4 * KIB),
        kafka="extension",
    )
    connection_requests_in_flight_max: int = key(
        "connection.requests.in.flight.max",
        128,
        "Unanswered requests of one connection before it is no longer read.",
        kind=Kind.INT,
        check=Between(1),
        kafka="extension",
    )
    connection_bytes_in_flight_max: int = key(
        "connection.bytes.in.flight.max",
        128 * MIB,
        "Bytes of unanswered requests and unsent answers of one connection before it is no "
        "longer read: one largest request and room beside it.",
        kind=Kind.INT,
        check=Between(1),
        kafka="extension",
    )
    fetch_max_bytes: int = key(
        "fetch.max.bytes",
        55 * MIB,
        "Bytes of the largest Fetch answer; one batch is always given.",
        kind=Kind.INT,
        check=Between(1024),
    )
    max_incremental_fetch_session_cache_slots: int = key(
        "max.incremental.fetch.session.cache.slots",
        1000,
        "Fetch sessions kept; a client beyond them sends its whole list each time.",
        kind=Kind.INT,
        check=Between(0),
    )
    max_request_partition_size_limit: int = key(
        "max.request.partition.size.limit",
        2000,
        "Partitions in one answer of DescribeTopicPartitions.",
        kind=Kind.INT,
        check=Between(1),
    )

    # The log.
    log_recovery_bytes_max: int = key(
        "log.recovery.bytes.max",
        256 * MIB,
        "Unflushed bytes of a partition after which a flush in the background moves its "
        "recovery point: what a start after a crash has to read again.",
        check=Between(MIB),
        kafka="extension",
    )
    log_flush_offset_checkpoint_interval_ms: int = key(
        "log.flush.offset.checkpoint.interval.ms",
        MINUTE_MS,
        "Time between two writes of the recovery points and log start offsets.",
        kind=Kind.INT,
        check=Between(0),
    )
    log_initial_task_delay_ms: int = key(
        "log.initial.task.delay.ms",
        30 * SECOND_MS,
        "Time after the start before retention and cleaning begin.",
        check=Between(0),
    )
    log_retention_check_interval_ms: int = key(
        "log.retention.check.interval.ms",
        5 * MINUTE_MS,
        "Time between two looks for segments to drop.",
        check=Between(1),
    )
    log_cleaner_backoff_ms: int = key(
        "log.cleaner.backoff.ms",
        15 * SECOND_MS,
        "Time the cleaner sleeps when no log is dirty enough.",
        check=Between(0),
        update=_LIVE,
    )
    log_cleaner_dedupe_buffer_size: int = key(
        "log.cleaner.dedupe.buffer.size",
        128 * MIB,
        "Memory for the map of keys in one pass of the cleaner.",
        update=_LIVE,
    )
    log_cleaner_io_max_bytes_per_second: float = key(
        "log.cleaner.io.max.bytes.per.second",
        float(2**1023) * (2 - 2**-52),
        "Bytes the cleaner may read and write a second.",
        check=Between(1),
        update=_LIVE,
    )
    producer_id_expiration_ms: int = key(
        "producer.id.expiration.ms",
        DAY_MS,
        "How long an idle idempotent producer's last batches are remembered.",
        kind=Kind.INT,
        check=Between(1),
        update=_LIVE,
    )
    disk_full_retry_ms: int = key(
        "disk.full.retry.ms",
        SECOND_MS,
        "Time between two tries to write again after the disk was full.",
        check=Between(1),
        kafka="extension",
    )

    # Consumer groups and their offsets.
    group_min_session_timeout_ms: int = key(
        "group.min.session.timeout.ms",
        6 * SECOND_MS,
        "The shortest session timeout a member may ask for.",
        kind=Kind.INT,
    )
    group_max_session_timeout_ms: int = key(
        "group.max.session.timeout.ms",
        30 * MINUTE_MS,
        "The longest session timeout a member may ask for.",
        kind=Kind.INT,
    )
    group_initial_rebalance_delay_ms: int = key(
        "group.initial.rebalance.delay.ms",
        3 * SECOND_MS,
        "How long an empty group waits for more members before its first rebalance.",
        kind=Kind.INT,
    )
    group_max_size: int = key(
        "group.max.size",
        INT32_MAX,
        "Members one group may have.",
        kind=Kind.INT,
        check=Between(1),
    )
    offset_metadata_max_bytes: int = key(
        "offset.metadata.max.bytes",
        4 * KIB,
        "Bytes of the text that may go with a committed offset.",
        kind=Kind.INT,
    )
    offsets_retention_minutes: int = key(
        "offsets.retention.minutes",
        7 * 24 * 60,
        "How long offsets stay after their group is empty.",
        kind=Kind.INT,
        check=Between(1),
    )
    offsets_retention_check_interval_ms: int = key(
        "offsets.retention.check.interval.ms",
        10 * MINUTE_MS,
        "Time between two looks for offsets that are past their retention.",
        check=Between(1),
    )
    offsets_topic_num_partitions: int = key(
        "offsets.topic.num.partitions",
        50,
        "Partitions of the topic that holds offsets; fixed once it exists.",
        kind=Kind.INT,
        check=Between(1),
    )
    offsets_topic_replication_factor: int = key(
        "offsets.topic.replication.factor",
        1,
        "Replicas of the topic that holds offsets (Kafka: 3). This release keeps one replica of "
        "each partition.",
        kind=Kind.SHORT,
        check=Between(1),
        kafka="subset",
    )
    offsets_topic_segment_bytes: int = key(
        "offsets.topic.segment.bytes",
        100 * MIB,
        "Bytes of a segment of the topic that holds offsets.",
        kind=Kind.INT,
        check=Between(MIB),
    )
    offsets_commit_timeout_ms: int = key(
        "offsets.commit.timeout.ms",
        5 * SECOND_MS,
        "How long an offset commit may wait until it is committed to the log.",
        kind=Kind.INT,
        check=Between(1),
    )

    # The metadata store.
    metadata_store: str = key(
        "metadata.store",
        "embedded",
        "Where the cluster's metadata stands: in a file of the data folder (embedded, for one "
        "broker alone), or in etcd, which brokers of one cluster share.",
        check=OneOf(("embedded", "etcd")),
        kafka="extension",
    )
    cluster_name: str = key(
        "cluster.name",
        "headrace",
        "The cluster's name in etcd: its keys stand under /headrace/NAME/.",
        kafka="extension",
    )
    etcd_endpoints: tuple[str, ...] = key(
        "etcd.endpoints",
        (),
        "etcd's members as host:port, names or addresses; the first that answers is used. "
        "etcd must be 3.6.9 or newer (or 3.5.28 in 3.5).",
        kafka="extension",
    )
    etcd_ca_file: str = key(
        "etcd.ca.file",
        "",
        "PEM file of the authority that signed etcd's certificates; TLS is used where it is "
        "given. This file and the other three are read again when they change.",
        kafka="extension",
    )
    etcd_cert_file: str = key(
        "etcd.cert.file",
        "",
        "PEM file of the broker's own certificate, where etcd asks its clients for one.",
        kafka="extension",
    )
    etcd_key_file: str = key(
        "etcd.key.file", "", "PEM file of that certificate's private key.", kafka="extension"
    )
    etcd_username: str = key(
        "etcd.username", "", "The user, where etcd's authentication is on.", kafka="extension"
    )
    etcd_password_file: str = key(
        "etcd.password.file", "", "The file with that user's password.", kafka="extension"
    )
    broker_session_timeout_ms: int = key(
        "broker.session.timeout.ms",
        9 * SECOND_MS,
        "How long a silent broker keeps its registration.",
        kind=Kind.INT,
    )
    broker_heartbeat_interval_ms: int = key(
        "broker.heartbeat.interval.ms",
        2 * SECOND_MS,
        "Time between two renewals of a broker's registration.",
        kind=Kind.INT,
    )


BROKER_FIELDS: Final[dict[str, Key]] = keys_of(fields(BrokerSettings))
"""Field name to descriptor, without those that `log` holds."""
