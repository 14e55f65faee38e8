"""One file an API key; the tables that the dispatcher executes from."""

from collections.abc import Callable, Coroutine
from typing import Any

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
    a23_offset_for_leader_epoch,
    a42_delete_groups,
    a47_offset_delete,
)
from headrace.server.connection import Connection, Outcome
from headrace.server.dispatch import Fields
from headrace.wire.framing import RequestHeader

FrameHandler = Callable[[Any, Connection, RequestHeader, memoryview], Outcome]
Handler = Callable[[Any, Any, Any], Fields | Coroutine[Any, Any, Fields]]

FRAME_HANDLERS: dict[int, FrameHandler] = {
    0: a00_produce.handle_frame,
    1: a01_fetch.handle_frame,
}
"""APIs that read and write their frames by hand: (broker, connection, header, frame)."""

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
    23: a23_offset_for_leader_epoch.handle,
    42: a42_delete_groups.handle,
    47: a47_offset_delete.handle,
}
"""All others: (broker, kio request, context) gives the fields of the response."""
