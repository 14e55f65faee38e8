"""Variable-length integers: unsigned (protocol) and zig-zag (records), as Protocol Buffers do.

Readers raise `IndexError` at the end of the buffer, for the caller to say where that was, and
`VarintError` for one that is longer than its type allows.
"""

from typing import Final

_VARINT_BYTES_MAX: Final = 5
_VARLONG_BYTES_MAX: Final = 10


class VarintError(ValueError):
    """More bytes than the type can have: never written by anyone sane."""


def read_uvarint(buffer: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """(value, position after it) of an unsigned 32-bit varint."""
    byte = buffer[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift = 7
    for index in range(position + 1, position + _VARINT_BYTES_MAX):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                break
            return value, index + 1
        shift += 7
    raise VarintError(f"the varint at position {position} does not fit 32 bits")


def read_varlong(buffer: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """(value, position after it) of a zig-zag 64-bit varint."""
    byte = buffer[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    value = byte & 0x7F
    shift = 7
    for index in range(position + 1, position + _VARLONG_BYTES_MAX):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFFFFFFFFFF:
                break
            return (value >> 1) ^ -(value & 1), index + 1
        shift += 7
    raise VarintError(f"the varint at position {position} does not fit 64 bits")


def read_varint(buffer: bytes | bytearray | memoryview, position: int) -> tuple[int, int]:
    """(value, position after it) of a zig-zag 32-bit varint."""
    value, position = read_uvarint(buffer, position)
    return (value >> 1) ^ -(value & 1), position


def append_uvarint(out: bytearray, value: int) -> None:
    """Append a value >= 0."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def append_varlong(out: bytearray, value: int) -> None:
    """Append a signed 64-bit value in zig-zag form; a varint of 32 bits looks the same."""
    append_uvarint(out, (value << 1) ^ (value >> 63))


def uvarint(value: int) -> bytes:
    """An unsigned varint on its own."""
    if value < 0x80:
        return value.to_bytes(1, "big")
    out = bytearray()
    append_uvarint(out, value)
    return bytes(out)


def varlong_bytes(value: int) -> int:
    """How many bytes `append_varlong` takes for the value."""
    return max(1, (((value << 1) ^ (value >> 63)).bit_length() + 6) // 7)
