"""Records as they stand in a batch, fast enough that Python is not what a producer waits for.

A run of bare values (no keys, no headers, one timestamp) is encoded by one `join` over columns:
what stands before a value depends only on its length and on how many bytes its offset delta
takes, so it is looked up. That is 0.3 us a record; the general loop takes 2 us.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final, NamedTuple

from headrace.wire.varint import append_uvarint, append_varlong

Headers = Sequence[tuple[str, bytes | None]]

RECORD_OVERHEAD_BYTES: Final = 16
"""At most this much stands around key and value in our batches, headers aside."""
RECORDS_MAX: Final = 1 << 14
"""Records in one of our batches: bounds the table of offset deltas."""


class OutgoingRecord(NamedTuple):
    """A record to send. `timestamp_ms` since the Unix epoch."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def size_bytes(self) -> int:
        """What it takes in a batch, at most."""
        size = RECORD_OVERHEAD_BYTES + len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += 10 + 4 * len(name) + len(value or b"")
        return size


def encode_values(values: Sequence[bytes]) -> bytes:
    """The values as keyless records with offset deltas from 0 and timestamp delta 0."""
    parts: list[bytes] = []
    deltas = _deltas()
    for delta_bytes, first, last in _DELTA_RANGES:
        run = values[first:last]
        if not run:
            break
        lengths = list(map(len, run))
        columns = zip(
            map(_BEFORE_DELTA[delta_bytes].__getitem__, lengths),
            deltas[first:last],
            map(_AFTER_DELTA.__getitem__, lengths),
            run,
            strict=False,
        )
        parts.append(b"".join(chain.from_iterable(columns)))
    # Each entry of _BEFORE_DELTA begins with the header count that ends the record before it.
    return b"".join(parts)[1:] + b"\0"


def encode_records(records: Sequence[OutgoingRecord], base_timestamp_ms: int) -> bytes:
    """The records with offset deltas from 0."""
    out = bytearray()
    body = bytearray()
    for offset_delta, (key, value, headers, timestamp_ms) in enumerate(records):
        body.clear()
        body.append(0)
        append_varlong(body, timestamp_ms - base_timestamp_ms)
        append_varlong(body, offset_delta)
        _append_nullable(body, key)
        _append_nullable(body, value)
        append_varlong(body, len(headers))
        for name, header in headers:
            _append_nullable(body, name.encode())
            _append_nullable(body, header)
        append_varlong(out, len(body))
        out += body
    return bytes(out)


def _append_nullable(out: bytearray, data: bytes | None) -> None:
    if data is None:
        out.append(1)
    else:
        append_varlong(out, len(data))
        out += data


def _varlong(value: int) -> bytes:
    out = bytearray()
    append_varlong(out, value)
    return bytes(out)


@cache
def _deltas() -> list[bytes]:
    """Made on first use: 10 ms that `headrace --help` need not wait for."""
    return [_varlong(delta) for delta in range(RECORDS_MAX)]


class _BeforeDelta(dict[int, bytes]):
    """By length of value: what stands before the offset delta, the end of the last record first."""

    def __init__(self, delta_bytes: int) -> None:
        super().__init__()
        self._delta_bytes = delta_bytes

    def __missing__(self, length: int) -> bytes:
        after = len(_AFTER_DELTA[length])
        body_bytes = 2 + self._delta_bytes + after + length + 1
        out = bytearray(b"\0")
        append_varlong(out, body_bytes)
        out += b"\0\0"  # attributes, timestamp delta
        return _keep(self, length, bytes(out))


class _AfterDelta(dict[int, bytes]):
    """By length of value: no key, and the length."""

    def __missing__(self, length: int) -> bytes:
        out = bytearray(b"\x01")
        append_uvarint(out, length << 1)
        return _keep(self, length, bytes(out))


def _keep(table: dict[int, bytes], length: int, entry: bytes) -> bytes:
    if len(table) < 1 << 14:  # lengths can be anything: the table must not grow for ever
        table[length] = entry
    return entry


_DELTA_RANGES: Final = ((1, 0, 1 << 6), (2, 1 << 6, 1 << 13), (3, 1 << 13, RECORDS_MAX))
_BEFORE_DELTA: Final = {n: _BeforeDelta(n) for n, _, _ in _DELTA_RANGES}
_AFTER_DELTA: Final = _AfterDelta()
