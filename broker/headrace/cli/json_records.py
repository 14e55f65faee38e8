"""Records as JSON lines: what `consume --format json` writes, `produce --format json` reads.

Text is a JSON string; bytes that are not UTF-8 are base64 under `key_base64`, `value_base64` and,
among headers, as {"base64": ...}. Headers are an object, or a list of pairs where a name repeats.
"""

import base64
import binascii
import json
from typing import Any, Final

from headrace.wire.records import Header, NewRecord, Record

_READ = {"key", "key_base64", "value", "value_base64", "headers", "timestamp"}
_OF_ITS_PLACE = {"topic", "partition", "offset"}
"""Written by `consume` and passed over by `produce`: they are of the record that was read. Alone
one of them would be a wish, which `--partition` fulfils."""

_NO_TIMESTAMP: Final = -1
"""What `consume` writes of a record whose producer gave it none."""

TIMESTAMP_MS_MAX: Final = 2**63 - 2
"""A record holds its distance to another's in 64 bits; that other may have none."""


def write_record(record: Record, topic: str, partition: int) -> bytes:
    """One line, with its end."""
    fields: dict[str, Any] = {
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    _put(fields, "key", record.key)
    _put(fields, "value", record.value)
    if record.headers:
        pairs = [(header.key, _header_value(header.value)) for header in record.headers]
        unique = len({name for name, _ in pairs}) == len(pairs)
        fields["headers"] = dict(pairs) if unique else pairs
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def read_record(line: bytes, now_ms: int) -> NewRecord:
    """The record of one line. Raises ValueError(sentence)."""
    try:
        fields = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError('it is not an object like {"key": "k", "value": "v"}')
    if odd := sorted(set(fields) - _READ - _OF_ITS_PLACE):
        raise ValueError(f"unknown field {odd[0]!r}; known are {', '.join(sorted(_READ))}")
    if (place := sorted(set(fields) & _OF_ITS_PLACE)) and len(place) < len(_OF_ITS_PLACE):
        raise ValueError(
            f"a line does not choose the {place[0]}: TOPIC and --partition do. Only a line that has"
            " topic, partition and offset, as `headrace consume` writes it, may have them"
        )
    timestamp = fields.get("timestamp", now_ms)
    if not isinstance(timestamp, int) or isinstance(timestamp, bool):
        raise ValueError("the timestamp is not a number of milliseconds")
    if not _NO_TIMESTAMP <= timestamp <= TIMESTAMP_MS_MAX:
        raise ValueError(f"the timestamp {timestamp} is not from 0 to {TIMESTAMP_MS_MAX}")
    return NewRecord(
        _take(fields, "key"), _take(fields, "value"), timestamp, _headers(fields.get("headers"))
    )


def _put(fields: dict[str, Any], name: str, data: bytes | None) -> None:
    try:
        fields[name] = None if data is None else data.decode()
    except UnicodeDecodeError:
        fields[f"{name}_base64"] = base64.b64encode(data or b"").decode()


def _take(fields: dict[str, Any], name: str) -> bytes | None:
    if f"{name}_base64" in fields:
        return _unbase64(fields[f"{name}_base64"], f"{name}_base64")
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        return _utf8(value, name)
    return _utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":")), name)


def _header_value(data: bytes | None) -> str | dict[str, str] | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data or b"").decode()}


def _headers(value: Any) -> tuple[Header, ...]:
    if value is None:
        return ()
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or any(
        not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str)
        for pair in pairs
    ):
        raise ValueError("headers is neither an object nor a list of [name, value] pairs")
    for name, _ in pairs:
        _utf8(name, "a header's name")
    return tuple(Header(name, _read_header(name, data)) for name, data in pairs)


def _read_header(name: str, value: Any) -> bytes | None:
    if value is None or isinstance(value, str):
        return None if value is None else _utf8(value, f"header {name!r}")
    if isinstance(value, dict) and set(value) == {"base64"}:
        return _unbase64(value["base64"], f"header {name!r}")
    raise ValueError(f'header {name!r} is neither text nor {{"base64": "..."}}')


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} has half of a surrogate pair, which is no text") from None


def _unbase64(text: Any, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(f"{where} is not base64") from None
