"""The values of a batch's records, for consumers that want nothing else.

Keyless records are cut apart by one regular expression, at a quarter of a microsecond each; a
loop reads the others in half of one. `wire.records.walk` gives whole records and takes longer.
"""

import re
from typing import Final

from headrace.client.encode import AFTER_DELTA
from headrace.wire.records import CorruptRecords
from headrace.wire.varint import VarintError, read_varint

_NO_KEY = 1

_VARINT: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
# Length, attributes, timestamp delta, offset delta, no key; caught: no key and value length.
_HEAD: Final = _VARINT + rb"\x00" + _VARINT + _VARINT + rb"(\x01" + _VARINT + rb")"
_FIRST = re.compile(_HEAD)
_BETWEEN = re.compile(rb"\x00" + _HEAD)  # no headers, which ends the record before


def decode_values(payload: bytes, record_count: int) -> list[bytes | None]:
    """The value of each record in unpacked records. Raises CorruptRecords."""
    return _cut(payload, record_count) or _walk(payload, record_count)


def _cut(payload: bytes, record_count: int) -> list[bytes | None] | None:
    """The values where no record has a key, a null value or headers; None where it cannot tell.

    A value may hold bytes that look like what stands between two. So each value found must have
    the length that stands before it: then, from the first record on, each one ends where the
    next begins, and the cuts are the true ones.
    """
    first = _FIRST.match(payload)
    if first is None or payload[-1]:
        return None
    parts = _BETWEEN.split(payload[first.end() : -1])
    values = parts[0::2]
    if len(values) != record_count:
        return None
    if list(map(AFTER_DELTA.__getitem__, map(len, values))) != [first[1], *parts[1::2]]:
        return None
    return values


def _walk(payload: bytes, record_count: int) -> list[bytes | None]:
    """Varints of one and two bytes, which most are, are read here: a call for each is too slow."""
    values: list[bytes | None] = []
    append = values.append
    position = 0
    try:
        for _ in range(record_count):
            first = payload[position]
            if first < 0x80:
                position += 1
                end = position + (first >> 1)
            elif (second := payload[position + 1]) < 0x80:
                position += 2
                end = position + ((first & 0x7F | second << 7) >> 1)
            else:
                size, position = read_varint(payload, position)
                end = position + size
            position += 1  # attributes
            while payload[position] > 0x7F:  # timestamp delta
                position += 1
            position += 1
            while payload[position] > 0x7F:  # offset delta
                position += 1
            position += 1
            if payload[position] == _NO_KEY:
                position += 1
            else:
                size, position = read_varint(payload, position)
                position += max(size, 0)
            first = payload[position]
            if first < 0x80:
                position += 1
                size = first >> 1 if not first & 1 else -1
            elif (second := payload[position + 1]) < 0x80:
                position += 2
                size = (first & 0x7F | second << 7) >> 1
            else:
                size, position = read_varint(payload, position)
            append(payload[position : position + size] if size >= 0 else None)
            if position + size > end:
                raise CorruptRecords("a record's value runs past the record")
            position = end
    except (IndexError, VarintError):
        raise CorruptRecords("a record runs past the batch") from None
    if position != len(payload):
        raise CorruptRecords(f"{len(payload) - position} bytes follow the last record")
    return values
