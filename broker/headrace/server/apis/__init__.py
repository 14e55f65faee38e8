"""One file an API key; the tables that the dispatcher executes from."""

from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, Final

from headrace.server.apis import (
    a00_produce,
    a01_fetch,
    a02_list_offsets,
    a03_metadata,
    a08_offset_commit,
    a09_offset_fetch,
    a10_find_coordinator,
    a11_join_group,
    a12_heartbeat,
    a13_leave_group,
    a14_sync_group,
    a15_describe_groups,
    a16_list_groups,
    a18_api_versions,
    a19_create_topics,
    a20_delete_topics,
    a21_delete_records,
    a22_init_producer_id,
    a23_offset_for_leader_epoch,
    a32_describe_configs,
    a33_alter_configs,
    a34_alter_replica_log_dirs,
    a35_describe_log_dirs,
    a37_create_partitions,
    a42_delete_groups,
    a43_elect_leaders,
    a44_incremental_alter_configs,
    a45_alter_partition_reassignments,
    a46_list_partition_reassignments,
    a47_offset_delete,
    a48_describe_client_quotas,
    a49_alter_client_quotas,
    a55_describe_quorum,
    a57_update_features,
    a58_envelope,
    a60_describe_cluster,
    a61_describe_producers,
    a74_list_config_resources,
    a75_describe_topic_partitions,
)
from headrace.server.connection import Connection, Outcome
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.framing import RequestHeader

FrameHandler = Callable[[Any, Connection, RequestHeader, memoryview], Outcome]
Handler = Callable[[Any, Any, Any], Fields | Coroutine[Any, Any, Fields]]
AtController = Callable[[Any, Any, Any], Coroutine[Any, Any, Fields]]

FRAME_HANDLERS: dict[int, FrameHandler] = {
    0: a00_produce.handle_frame,
    1: a01_fetch.handle_frame,
}
"""APIs that read and write their frames by hand: (broker, connection, header, frame)."""

AT_CONTROLLER: Final[Mapping[int, AtController]] = {
    19: a19_create_topics.handle,
    20: a20_delete_topics.handle,
    33: a33_alter_configs.at_controller,
    37: a37_create_partitions.handle,
    43: a43_elect_leaders.handle,
    44: a44_incremental_alter_configs.at_controller,
    45: a45_alter_partition_reassignments.handle,
    49: a49_alter_client_quotas.handle,
    57: a57_update_features.handle,
}
"""What the controller alone carries out; any broker takes it (server/forwarding.py)."""


def _anywhere(api_key: int) -> Handler:
    """The handler for whoever is asked."""

    @wraps(AT_CONTROLLER[api_key])
    async def handle(broker: Any, request: Any, context: RequestContext) -> Fields:
        answer: Fields = await broker.forwarding.execute(api_key, request, context)
        return answer

    return handle


HANDLERS: dict[int, Handler] = {
    2: a02_list_offsets.handle,
    3: a03_metadata.handle,
    8: a08_offset_commit.handle,
    9: a09_offset_fetch.handle,
    10: a10_find_coordinator.handle,
    11: a11_join_group.handle,
    12: a12_heartbeat.handle,
    13: a13_leave_group.handle,
    14: a14_sync_group.handle,
    15: a15_describe_groups.handle,
    16: a16_list_groups.handle,
    18: a18_api_versions.handle,
    19: _anywhere(19),
    20: _anywhere(20),
    21: a21_delete_records.handle,
    22: a22_init_producer_id.handle,
    23: a23_offset_for_leader_epoch.handle,
    32: a32_describe_configs.handle,
    33: a33_alter_configs.handle,
    34: a34_alter_replica_log_dirs.handle,
    35: a35_describe_log_dirs.handle,
    37: _anywhere(37),
    42: a42_delete_groups.handle,
    43: _anywhere(43),
    44: a44_incremental_alter_configs.handle,
    45: _anywhere(45),
    46: a46_list_partition_reassignments.handle,
    47: a47_offset_delete.handle,
    48: a48_describe_client_quotas.handle,
    49: _anywhere(49),
    55: a55_describe_quorum.handle,
    57: _anywhere(57),
    58: a58_envelope.handle,
    60: a60_describe_cluster.handle,
    61: a61_describe_producers.handle,
    74: a74_list_config_resources.handle,
    75: a75_describe_topic_partitions.handle,
}
"""All others: (broker, kio request, context) gives the fields of the response."""
