"""A decoded answer as plain, comparable data: dicts, lists, strings and numbers.

Times become milliseconds, error codes their names, record bytes a list of readable batches.
"""

import dataclasses
import datetime
import hashlib
import uuid
from typing import Any

from headrace.base.errors import Code
from headrace.wire.batch import HEADER, HEADER_BYTES, LENGTH_PREFIX_BYTES, BatchHeader

Tree = dict[str, Any] | list[Any] | str | int | float | bool | None

ERROR_FIELDS = frozenset({"error_code", "acknowledge_error_code"})
RECORDS_SHOWN_BYTES = 64


def to_tree(value: Any, api: str) -> Tree:
    """What a kio entity says, without kio's types."""
    return _node(value, api, "")


def _node(value: Any, api: str, name: str) -> Tree:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: _node(getattr(value, item.name), api, item.name)
            for item in dataclasses.fields(value)
        }
    if isinstance(value, tuple | list):
        return [_node(item, api, name) for item in value]
    if name in ERROR_FIELDS:
        return _error_name(int(value))
    if isinstance(value, datetime.timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (
            _records(bytes(value)) if api == "fetch" and name == "records" else bytes(value).hex()
        )
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return value
    return int(value)


def _error_name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"code {code}"


def _records(data: bytes) -> list[Tree]:
    """The whole batches in a fetch answer.

    A cut one at the end is left out: Kafka cuts at the byte limit, Headrace at a batch's end, and
    every client skips what is cut.
    """
    batches: list[Tree] = []
    position = 0
    while position + HEADER_BYTES <= len(data):
        header = BatchHeader(*HEADER.unpack_from(data, position))
        end = position + LENGTH_PREFIX_BYTES + header.length
        if end > len(data):
            break
        batches.append(_batch(header, data[position + HEADER_BYTES : end]))
        position = end
    return batches


def _batch(header: BatchHeader, payload: bytes) -> Tree:
    shown = payload if len(payload) <= RECORDS_SHOWN_BYTES else hashlib.sha256(payload).digest()
    return {
        "base_offset": header.base_offset,
        "length": header.length,
        "leader_epoch": header.leader_epoch,
        "attributes": header.attributes,
        "last_offset_delta": header.last_offset_delta,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "record_count": header.record_count,
        "payload": shown.hex(),
    }
