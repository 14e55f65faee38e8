"""One file an API key; the tables that the dispatcher executes from."""

from collections.abc import Callable, Coroutine
from typing import Any

from headrace.server.apis import (
    a00_produce,
    a01_fetch,
    a02_list_offsets,
    a03_metadata,
    a18_api_versions,
    a23_offset_for_leader_epoch,
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
    18: a18_api_versions.handle,
    23: a23_offset_for_leader_epoch.handle,
}
"""All others: (broker, kio request, context) gives the fields of the response."""
