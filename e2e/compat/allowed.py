"""What an answer of Headrace may differ in from Kafka's, each with its reason.

Everything else that differs is a failure of `make compat`.
"""

from headrace.server.skipped import KAFKA_APIS
from headrace.wire.versions import APIS

from e2e.compat.differential.allowance import Allowance, How

ADDRESS = "each broker has its own address"
CLOCK = "taken from the clock or the disk at that moment"
METADATA_LOG = "Kafka's metadata log is not our metadata store: its offsets and nodes differ"
NO_ELR = "with eligible leader replicas Kafka sets min.insync.replicas as a cluster-wide default"
NOT_YET = "a setting of tiered storage or throttled replication, which are not here yet"
OURS = "a setting or feature of Headrace's own"
NOT_WALKED = "records are not walked (SKIPPED.md: Produce looks at a batch's header alone)"
INTERNAL = "Kafka fails inside (UNKNOWN_SERVER_ERROR or no answer); Headrace says what is wrong"
STRICT = "Headrace refuses what Kafka happens to accept; no client sends it"
DEDUPLICATED = "Kafka answers a partition that was named twice once, Headrace twice"
AT_ONCE = "Headrace creates the topic before it answers; Kafka answers first and creates later"

ALLOWED = [
    Allowance(
        sequence="groups.offsets_of_many_groups_at_once",
        path="groups[*~2]",
        how=How.NOT_HERE,
        why="a group that is named twice is answered once (SKIPPED.md)",
    ),
    Allowance(path="throttle_time", why="Kafka's rates and our buckets make other waits"),
    Allowance(path="*error_message", how=How.IN_WORDING, why="sentences for people are our own"),
    Allowance(path="*batch_index_error_message", how=How.IN_WORDING, why="our own sentences"),
    Allowance(path="cluster_id", why="drawn when a cluster is made"),
    Allowance(path="*port", why=ADDRESS),
    Allowance(path="*host", why=ADDRESS),
    Allowance(api="describe_log_dirs", path="*log_dir", why="each broker has its own folder"),
    Allowance(api="describe_log_dirs", path="*usable_bytes", why=CLOCK),
    Allowance(api="describe_log_dirs", path="*total_bytes", why=CLOCK),
    Allowance(
        sequence="produce.log_append_time_is_the_brokers", path="*log_append_time", why=CLOCK
    ),
    Allowance(sequence="produce.log_append_time_is_the_brokers", path="*timestamp", why=CLOCK),
    *(
        Allowance(
            api="api_versions",
            path=f"api_keys[{key}]",
            how=How.NOT_HERE,
            why="not implemented, hence not advertised (SKIPPED.md)",
        )
        for key in sorted(KAFKA_APIS.keys() - APIS.keys())
    ),
    Allowance(
        api="api_versions",
        path="*_features[*.version]",
        how=How.NOT_HERE,
        why="what the feature stands for is not here yet",
    ),
    Allowance(api="api_versions", path="*_features[headrace.*]", how=How.NOT_THERE, why=OURS),
    Allowance(api="api_versions", path="finalized_features_epoch", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*log_end_offset", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*high_watermark", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*leader_epoch", why=METADATA_LOG),
    Allowance(api="describe_quorum", path="topics*_timestamp", why=CLOCK),
    Allowance(api="describe_quorum", path="nodes*listeners[*]", why=METADATA_LOG),
    *(
        Allowance(path=f"*configs[{key}]", how=How.NOT_HERE, why=NOT_YET)
        for key in ("*.replication.throttled.replicas", "local.retention.*", "remote.*")
    ),
    *(
        Allowance(path=f"*configs[{key}]", how=How.NOT_THERE, why=OURS)
        for key in ("durability*", "record.validation")
    ),
    Allowance(path="*configs[min.insync.replicas].config_source", why=NO_ELR),
    Allowance(path="*configs[min.insync.replicas].synonyms*", why=NO_ELR),
    Allowance(
        sequence="configs.group_and_metrics_and_logger_configs",
        path="results[*].configs[*]",
        how=How.NOT_HERE,
        why="settings of KIP-848 groups, share groups and client metrics are not here yet",
    ),
    Allowance(
        sequence="configs.cleanup.policy",
        path="*.value",
        how=How.AS_SAID,
        kafka="compact",
        headrace="compact,compact",
        why="Kafka drops a repeated word from a list, Headrace keeps the text as it was given",
    ),
    Allowance(
        sequence="configs.append_and_subtract",
        path="*error_code",
        how=How.AS_SAID,
        kafka="UNKNOWN_SERVER_ERROR",
        headrace="INVALID_REQUEST",
        why=INTERNAL,
    ),
    Allowance(
        sequence="bounds.produce-outside-v2",
        path="answer",
        why="Produce v0-v2 are answered UNSUPPORTED_VERSION; Kafka closes the connection",
    ),
    Allowance(
        api="fetch",
        path="*error_code",
        how=How.AS_SAID,
        kafka="UNKNOWN_SERVER_ERROR",
        headrace="NONE",
        why=INTERNAL,
    ),
    Allowance(sequence="fetch.sizes", path="*", why="a negative byte limit: " + INTERNAL),
    Allowance(
        sequence="fetch.isolation_levels",
        path="*",
        why="an isolation level that is none: " + INTERNAL,
    ),
    Allowance(
        sequence="fetch.leader_epochs",
        path="*",
        why="an epoch of -2, which Kafka takes for no epoch: " + STRICT,
    ),
    Allowance(
        sequence="*.offsets_of_nowhere",
        path="topics[*].partitions[0~2]",
        how=How.NOT_THERE,
        why=DEDUPLICATED,
    ),
    Allowance(sequence="produce.one_partition_twice", path="*", why=DEDUPLICATED),
    *(
        Allowance(
            sequence=f"produce.{name}",
            path="*error_code",
            how=How.AS_SAID,
            kafka="CORRUPT_MESSAGE",
            headrace="INVALID_RECORD",
            why="both refuse; Kafka calls it corrupt, which makes clients send it again in vain",
        )
        for name in ("magic_3", "a_length_too_short", "garbage")
    ),
    Allowance(sequence="produce.a_trailing_byte", path="*", why=STRICT),
    Allowance(sequence="produce.log_append_time", path="*", why=STRICT),
    Allowance(sequence="produce.a_delete_horizon", path="*", why=STRICT),
    Allowance(sequence="topics.names_that_collide_in_metrics", path="topics[*c_d]*", why=STRICT),
    *(
        Allowance(
            api="produce",
            sequence=f"produce.{name}",
            path="*log_start_offset",
            how=How.AS_SAID,
            kafka=-1,
            headrace=0,
            why="told with every refusal; Kafka knows it only once it has looked up the log",
        )
        for name in (
            "magic_*",
            "a_length_*",
            "a_negative_length",
            "a_huge_length",
            "two_batches",
            "garbage",
            "half_a_header",
            "a_cut_batch",
            "nothing",
            "gzip_that_is_none",
            "a_transaction",
        )
    ),
    Allowance(sequence="produce.recompressed_to_gzip", path="*log_start_offset", why=INTERNAL),
    Allowance(
        sequence="fetch.deleted_while_fetching",
        path="*aborted_transactions*",
        why="empty here and null in Kafka beside an error; no client tells them apart",
    ),
    Allowance(
        sequence="produce.no_topics_at_all",
        path="responses[*]",
        how=How.NOT_THERE,
        why="a topic without partitions is answered as such; Kafka leaves it out",
    ),
    Allowance(
        sequence="configs.broker_configs",
        path="*error_code",
        how=How.AS_SAID,
        kafka="NONE",
        headrace="INVALID_REQUEST",
        why="an unknown broker setting is an error; Kafka keeps it for plugins",
    ),
    Allowance(sequence="produce.null", path="*", why=INTERNAL),
    Allowance(sequence="produce.an_unknown_codec", path="*error_code", why=INTERNAL),
    Allowance(sequence="produce.codec_7", path="*error_code", why=INTERNAL),
    Allowance(sequence="produce.gzip_that_is_none", path="*", why=NOT_WALKED),
    Allowance(
        sequence="produce.recompressed_to_gzip",
        path="*error_code",
        how=How.AS_SAID,
        kafka="UNKNOWN_SERVER_ERROR",
        headrace="CORRUPT_MESSAGE",
        why=INTERNAL,
    ),
    Allowance(
        sequence="produce.a_transaction",
        path="*error_code",
        how=How.AS_SAID,
        kafka="TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        headrace="INVALID_TXN_STATE",
        why="no transactions yet: refused with a code that no client retries",
    ),
    Allowance(api="produce", path="*record_errors[*]", how=How.NOT_HERE, why=NOT_WALKED),
    *(
        Allowance(sequence=f"produce.{name}", path="*max_timestamp", why=NOT_WALKED)
        for name in ("a_max_timestamp_too_low", "a_max_timestamp_too_high", "a_negative_timestamp")
    ),
    Allowance(
        api="produce",
        path="*log_append_time",
        how=How.FREELY,
        why="for a repeated batch Kafka gives the first one's timestamp, Headrace none",
    ),
    Allowance(
        sequence="topics.delete_by_id",
        path="responses*",
        why="one topic named by id and by name in one request: both refuse, the echo differs",
    ),
    Allowance(sequence="topics.auto_creation_on_metadata", path="topics[*]*", why=AT_ONCE),
    *(
        Allowance(sequence=f"bounds.metadata-v{version}", path="topics[*-none]*", why=AT_ONCE)
        for version in range(4)
    ),
    Allowance(sequence="topics.metadata_with_null_name_and_no_id", path="*", why=INTERNAL),
]
