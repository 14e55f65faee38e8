"""Every version of every API once, and what lies just outside each range.

One sequence for each (API, version) with a request that has something to say in that version.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from headrace.wire.versions import APIS

from e2e.compat.differential.peer import API_KEYS, CLIENT_ID, Peer
from e2e.compat.differential.sequence import Sequence
from e2e.compat.sequences.batches import T0_MS, batch
from e2e.compat.sequences.setting import (
    Topic,
    fetched,
    group,
    new_topic,
    offset_of,
    produced,
    topic,
)

Fields = Callable[[Peer, Topic, str], dict[str, Any]]
NAMES = {key: name for name, key in API_KEYS.items()}
HEADER = struct.Struct(">ihhih")


def bounds() -> Iterator[Sequence]:
    """All sequences of this module."""
    for key, api in APIS.items():
        name = NAMES[key]
        for version in range(api.served_from, api.max_version + 1):
            yield Sequence(f"bounds.{name}-v{version}", _one(name, version))
        for version in {api.served_from - 1, api.max_version + 1, 32767} - {-1}:
            yield Sequence(f"bounds.{name}-outside-v{version}", _outside(key, version))
    for key in (4, 7, 52, 58, 94, 999, -1):
        yield Sequence(f"bounds.unknown-key-{key}", _outside(key, 0))


def _one(api: str, version: int) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        where = topic(peer, partitions=2)
        group_id = group(peer)
        peer.quietly("produce", 9, **produced(where.name, (0, batch(b"a", b"b", b"c"))))
        fields = REQUESTS[api](peer, where, group_id)
        if api == "list_groups":  # the groups of other sequences are there as well
            peer.quietly("offset_commit", 8, **_commit(peer, where, group_id))
            listed = peer.quietly(api, version, **fields)
            peer.note(api, [str(one) for one in listed.groups if one.group_id == group_id])
            return
        answer = peer.ask(api, version, **fields)
        if api == "join_group" and answer is not None and answer.error_code == 79:
            # From v4 on the first answer only hands out the member id.
            peer.ask(api, version, **(fields | {"member_id": answer.member_id}))

    return play


def _outside(key: int, version: int) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        client = CLIENT_ID.encode()
        head = HEADER.pack(0, key, version, 1, len(client))[4:] + client + b"\x00"
        body = b"\xff\xff" + b"\x00" * 14  # acks=-1, a time and no topics in an old Produce
        connection = peer.connection("odd")
        connection.send_bytes(struct.pack(">i", len(head) + len(body)) + head + body)
        try:
            peer.note(f"{NAMES.get(key, key)} v{version}", connection.receive()[4:].hex())
        except Exception as error:
            peer.note(f"{NAMES.get(key, key)} v{version}", type(error).__name__)
        peer.note("alive", peer.quietly("api_versions", 0) is not None)

    return play


def _partitions(where: Topic, *indexes: int) -> list[dict[str, Any]]:
    return [{"name": where.name, "partition_indexes": list(indexes)}]


def _produce(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    fields = produced(where.name, (0, batch(b"x")), (1, batch(b"y", b"z")), (2, batch(b"no")))
    fields["topic_data"][0]["topic_id"] = where.id
    return fields


def _list_offsets(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    parts = [offset_of(0, T0_MS + 1), offset_of(1, -1), offset_of(2, -2)]
    return {
        "replica_id": -1,
        "isolation_level": 0,
        "topics": [{"name": where.name, "partitions": parts}],
        "timeout_ms": 1000,
    }


def _commit(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    part = {"committed_offset": 2, "committed_metadata": "m", "committed_leader_epoch": 0}
    parts = [{"partition_index": i, **part} for i in (0, 1, 9)]
    return {
        "group_id": group_id,
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "group_instance_id": None,
        "retention_time_ms": -1,
        "topics": [{"name": where.name, "topic_id": where.id, "partitions": parts}],
    }


def _offset_fetch(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    peer.quietly("offset_commit", 8, **_commit(peer, where, group_id))
    asked = [{"name": where.name, "topic_id": where.id, "partition_indexes": [0, 1, 5]}]
    return {
        "group_id": group_id,
        "topics": asked,
        "groups": [
            {"group_id": group_id, "member_id": None, "member_epoch": -1, "topics": asked},
            {"group_id": group_id + "-none", "member_id": None, "member_epoch": -1, "topics": None},
        ],
        "require_stable": True,
    }


def _join(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    return {
        "group_id": group_id,
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 10_000,
        "member_id": "",
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"\x00\x01"}],
        "reason": "because",
    }


def _member(peer: Peer, where: Topic, group_id: str) -> tuple[str, int]:
    """A member that is alone in its group and has its assignment: (member id, generation)."""
    fields = _join(peer, where, group_id)
    first = peer.quietly("join_group", 5, **fields)
    joined = peer.quietly("join_group", 5, **(fields | {"member_id": first.member_id}))
    peer.quietly("sync_group", 3, **_sync_of(group_id, joined.member_id, joined.generation_id))
    return joined.member_id, joined.generation_id


def _sync_of(group_id: str, member_id: str, generation: int) -> dict[str, Any]:
    return {
        "group_id": group_id,
        "generation_id": generation,
        "member_id": member_id,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [{"member_id": member_id, "assignment": b"\x00\x02"}],
    }


def _sync(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    fields = _join(peer, where, group_id)
    first = peer.quietly("join_group", 5, **fields)
    joined = peer.quietly("join_group", 5, **(fields | {"member_id": first.member_id}))
    return _sync_of(group_id, joined.member_id, joined.generation_id)


def _heartbeat(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    member_id, generation = _member(peer, where, group_id)
    return {
        "group_id": group_id,
        "generation_id": generation,
        "member_id": member_id,
        "group_instance_id": None,
    }


def _leave(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    member_id, _ = _member(peer, where, group_id)
    members = [
        {"member_id": member_id, "group_instance_id": None, "reason": "done"},
        {"member_id": "stranger", "group_instance_id": None, "reason": None},
    ]
    return {"group_id": group_id, "member_id": member_id, "members": members}


def _describe_groups(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    _member(peer, where, group_id)
    return {"groups": [group_id, group_id + "-none"], "include_authorized_operations": True}


def _list_groups(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    return {"states_filter": ["Empty"], "types_filter": ["classic"]}


def _delete_groups(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    peer.quietly("offset_commit", 8, **_commit(peer, where, group_id))
    return {"groups_names": [group_id, group_id + "-none"]}


def _delete_topics(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    names = [where.name, where.name + "-none"]
    return {
        "topic_names": names,
        "topics": [{"name": name, "topic_id": None} for name in names],
        "timeout_ms": 5000,
    }


def _offset_delete(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    peer.quietly("offset_commit", 8, **_commit(peer, where, group_id))
    parts = [{"partition_index": i} for i in (0, 7)]
    return {"group_id": group_id, "topics": [{"name": where.name, "partitions": parts}]}


def _resource(where: Topic, **fields: Any) -> list[dict[str, Any]]:
    return [{"resource_type": 2, "resource_name": where.name, **fields}]


def _metadata(peer: Peer, where: Topic, group_id: str) -> dict[str, Any]:
    names = [where.name, where.name + "-none"]
    return {
        "topics": [{"topic_id": None, "name": name} for name in names],
        "allow_auto_topic_creation": False,
        "include_cluster_authorized_operations": True,
        "include_topic_authorized_operations": True,
    }


REQUESTS: dict[str, Fields] = {
    "produce": _produce,
    "fetch": lambda p, t, g: fetched(t, (0, 0), (1, 0), (2, 0)),
    "list_offsets": _list_offsets,
    "metadata": _metadata,
    "offset_commit": _commit,
    "offset_fetch": _offset_fetch,
    "find_coordinator": lambda p, t, g: {"key": g, "key_type": 0, "coordinator_keys": [g]},
    "join_group": _join,
    "heartbeat": _heartbeat,
    "leave_group": _leave,
    "sync_group": _sync,
    "describe_groups": _describe_groups,
    "list_groups": _list_groups,
    "api_versions": lambda p, t, g: {
        "client_software_name": "compat",
        "client_software_version": "1.0",
    },
    "create_topics": lambda p, t, g: {
        "topics": [new_topic(p.name("new"), 2), new_topic(t.name), new_topic("bad name")],
        "timeout_ms": 5000,
        "validate_only": False,
    },
    "delete_topics": _delete_topics,
    "delete_records": lambda p, t, g: {
        "topics": [
            {
                "name": t.name,
                "partitions": [{"partition_index": i, "offset": 2} for i in (0, 1, 2)],
            }
        ],
        "timeout_ms": 5000,
    },
    "init_producer_id": lambda p, t, g: {
        "transactional_id": None,
        "transaction_timeout_ms": 1000,
        "producer_id": -1,
        "producer_epoch": -1,
    },
    "offset_for_leader_epoch": lambda p, t, g: {
        "replica_id": -1,
        "topics": [
            {
                "topic": t.name,
                "partitions": [
                    {"partition": i, "current_leader_epoch": -1, "leader_epoch": 0}
                    for i in (0, 1, 2)
                ],
            }
        ],
    },
    "describe_configs": lambda p, t, g: {
        "resources": _resource(t, configuration_keys=None),
        "include_synonyms": True,
        "include_documentation": False,
    },
    "alter_configs": lambda p, t, g: {
        "resources": _resource(t, configs=[{"name": "retention.ms", "value": "1000"}]),
        "validate_only": False,
    },
    "alter_replica_log_dirs": lambda p, t, g: {
        "dirs": [{"path": "/no/such/dir", "topics": [{"name": t.name, "partitions": [0, 5]}]}]
    },
    "describe_log_dirs": lambda p, t, g: {"topics": [{"topic": t.name, "partitions": [0, 1]}]},
    "create_partitions": lambda p, t, g: {
        "topics": [{"name": t.name, "count": 3, "assignments": None}],
        "timeout_ms": 5000,
        "validate_only": False,
    },
    "delete_groups": _delete_groups,
    "elect_leaders": lambda p, t, g: {
        "election_type": 0,
        "topic_partitions": [{"topic": t.name, "partitions": [0, 5]}],
        "timeout_ms": 5000,
    },
    "incremental_alter_configs": lambda p, t, g: {
        "resources": _resource(
            t, configs=[{"name": "retention.ms", "config_operation": 0, "value": "1000"}]
        ),
        "validate_only": False,
    },
    "alter_partition_reassignments": lambda p, t, g: {
        "timeout_ms": 5000,
        "allow_replication_factor_change": True,
        "topics": [
            {
                "name": t.name,
                "partitions": [
                    {"partition_index": 0, "replicas": [1]},
                    {"partition_index": 1, "replicas": None},
                    {"partition_index": 5, "replicas": [1]},
                ],
            }
        ],
    },
    "list_partition_reassignments": lambda p, t, g: {
        "topics": _partitions(t, 0, 1),
        "timeout_ms": 5000,
    },
    "offset_delete": _offset_delete,
    "describe_client_quotas": lambda p, t, g: {
        "components": [{"entity_type": "client-id", "match_type": 0, "match": g}],
        "strict": True,
    },
    "alter_client_quotas": lambda p, t, g: {
        "entries": [
            {
                "entity": [{"entity_type": "client-id", "entity_name": g}],
                "ops": [{"key": "producer_byte_rate", "value": 1e6, "remove": False}],
            }
        ],
        "validate_only": False,
    },
    "describe_quorum": lambda p, t, g: {
        "topics": [{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}]
    },
    "update_features": lambda p, t, g: {
        "timeout_ms": 5000,
        "feature_updates": [
            {
                "feature": "no.such.feature",
                "max_version_level": 1,
                "upgrade_type": 1,
                "allow_downgrade": False,
            }
        ],
        "validate_only": False,
    },
    "describe_cluster": lambda p, t, g: {
        "include_cluster_authorized_operations": True,
        "endpoint_type": 1,
        "include_fenced_brokers": False,
    },
    "describe_producers": lambda p, t, g: {"topics": _partitions(t, 0, 5)},
    "list_config_resources": lambda p, t, g: {"resource_types": [16]},
    "describe_topic_partitions": lambda p, t, g: {
        "topics": [{"name": t.name}, {"name": t.name + "-none"}],
        "response_partition_limit": 100,
        "cursor": None,
    },
}
"""A request for each API; fields that a version lacks are left out when it is written."""
