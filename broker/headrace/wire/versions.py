"""The table of API keys: which versions we advertise and serve, and from which they are flexible.

The ranges are Apache Kafka 4.3's. What is not in the table is not advertised; Envelope is for
brokers alone.
"""

from typing import Final, NamedTuple

PRODUCE: Final = 0
FETCH: Final = 1
LIST_OFFSETS: Final = 2
METADATA: Final = 3
OFFSET_COMMIT: Final = 8
OFFSET_FETCH: Final = 9
FIND_COORDINATOR: Final = 10
JOIN_GROUP: Final = 11
HEARTBEAT: Final = 12
LEAVE_GROUP: Final = 13
SYNC_GROUP: Final = 14
DESCRIBE_GROUPS: Final = 15
LIST_GROUPS: Final = 16
API_VERSIONS: Final = 18
CREATE_TOPICS: Final = 19
DELETE_TOPICS: Final = 20
DELETE_RECORDS: Final = 21
INIT_PRODUCER_ID: Final = 22
OFFSET_FOR_LEADER_EPOCH: Final = 23
DESCRIBE_CONFIGS: Final = 32
ALTER_CONFIGS: Final = 33
ALTER_REPLICA_LOG_DIRS: Final = 34
DESCRIBE_LOG_DIRS: Final = 35
CREATE_PARTITIONS: Final = 37
DELETE_GROUPS: Final = 42
ELECT_LEADERS: Final = 43
INCREMENTAL_ALTER_CONFIGS: Final = 44
ALTER_PARTITION_REASSIGNMENTS: Final = 45
LIST_PARTITION_REASSIGNMENTS: Final = 46
OFFSET_DELETE: Final = 47
DESCRIBE_CLIENT_QUOTAS: Final = 48
ALTER_CLIENT_QUOTAS: Final = 49
DESCRIBE_QUORUM: Final = 55
UPDATE_FEATURES: Final = 57
ENVELOPE: Final = 58
DESCRIBE_CLUSTER: Final = 60
DESCRIBE_PRODUCERS: Final = 61
LIST_CONFIG_RESOURCES: Final = 74
DESCRIBE_TOPIC_PARTITIONS: Final = 75


class Api(NamedTuple):
    """One API. Versions are inclusive; `served_from` is above `min_version` for Produce alone."""

    key: int
    name: str
    served_from: int
    max_version: int
    flexible_from: int
    advertised_from: int

    def serves(self, version: int) -> bool:
        """Whether a request of that version is answered with anything but an error."""
        return self.served_from <= version <= self.max_version


_NEVER = 1 << 15
_TABLE = (
    # key, name, first version, last version, flexible from
    (PRODUCE, "Produce", 3, 13, 9),
    (FETCH, "Fetch", 4, 18, 12),
    (LIST_OFFSETS, "ListOffsets", 1, 11, 6),
    (METADATA, "Metadata", 0, 13, 9),
    (OFFSET_COMMIT, "OffsetCommit", 2, 10, 8),
    (OFFSET_FETCH, "OffsetFetch", 1, 10, 6),
    (FIND_COORDINATOR, "FindCoordinator", 0, 6, 3),
    (JOIN_GROUP, "JoinGroup", 0, 9, 6),
    (HEARTBEAT, "Heartbeat", 0, 4, 4),
    (LEAVE_GROUP, "LeaveGroup", 0, 5, 4),
    (SYNC_GROUP, "SyncGroup", 0, 5, 4),
    (DESCRIBE_GROUPS, "DescribeGroups", 0, 6, 5),
    (LIST_GROUPS, "ListGroups", 0, 5, 3),
    (API_VERSIONS, "ApiVersions", 0, 4, 3),
    (CREATE_TOPICS, "CreateTopics", 2, 7, 5),
    (DELETE_TOPICS, "DeleteTopics", 1, 6, 4),
    (DELETE_RECORDS, "DeleteRecords", 0, 2, 2),
    (INIT_PRODUCER_ID, "InitProducerId", 0, 5, 2),
    (OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 4, 4),
    (DESCRIBE_CONFIGS, "DescribeConfigs", 1, 4, 4),
    (ALTER_CONFIGS, "AlterConfigs", 0, 2, 2),
    (ALTER_REPLICA_LOG_DIRS, "AlterReplicaLogDirs", 1, 2, 2),
    (DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 5, 2),
    (CREATE_PARTITIONS, "CreatePartitions", 0, 3, 2),
    (DELETE_GROUPS, "DeleteGroups", 0, 2, 2),
    (ELECT_LEADERS, "ElectLeaders", 0, 2, 2),
    (INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", 0, 1, 1),
    (ALTER_PARTITION_REASSIGNMENTS, "AlterPartitionReassignments", 0, 1, 0),
    (LIST_PARTITION_REASSIGNMENTS, "ListPartitionReassignments", 0, 0, 0),
    (OFFSET_DELETE, "OffsetDelete", 0, 0, _NEVER),
    (DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", 0, 1, 1),
    (ALTER_CLIENT_QUOTAS, "AlterClientQuotas", 0, 1, 1),
    (DESCRIBE_QUORUM, "DescribeQuorum", 0, 2, 0),
    (UPDATE_FEATURES, "UpdateFeatures", 0, 2, 0),
    (ENVELOPE, "Envelope", 0, 0, 0),
    (DESCRIBE_CLUSTER, "DescribeCluster", 0, 2, 0),
    (DESCRIBE_PRODUCERS, "DescribeProducers", 0, 0, 0),
    (LIST_CONFIG_RESOURCES, "ListConfigResources", 0, 1, 0),
    (DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", 0, 0, 0),
)

# KAFKA-18659: librdkafka stops compressing with a broker whose Produce does not start at 0.
_ADVERTISED_FROM = {PRODUCE: 0}

APIS: Final = {
    key: Api(key, name, first, last, flexible, _ADVERTISED_FROM.get(key, first))
    for key, name, first, last, flexible in _TABLE
}
"""Every API we serve, by key."""

FLEXIBLE_FROM: Final = {key: api.flexible_from for key, api in APIS.items()}
"""The first flexible version (KIP-482) by key: compact strings and tagged fields."""
