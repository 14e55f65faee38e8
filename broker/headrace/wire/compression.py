"""The codecs of record batches. Decompression is bounded: a bomb is refused, not unpacked.

Kafka's forms: gzip; snappy in the xerial block format (raw snappy is read, too); an LZ4 frame;
a Zstandard frame.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import cramjam
from typing_extensions import Buffer

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

CODECS: Final = {"uncompressed": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
"""The codec's number in a batch's attributes, by its name in `compression.type`."""

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEAD: Final = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK_BYTES: Final = 32 * 1024
_ROOM_BYTES_MIN: Final = 64 * 1024
_TOO_SMALL: Final = "whole buffer"
"""what cramjam says when the output does not fit"""
_LENGTH = struct.Struct(">i")


class CompressionError(Exception):
    """The data is broken, of an unknown codec, or unpacks to more than is allowed."""


def compress(codec: int, data: Buffer, level: int | None = None) -> Buffer:
    """`data` in the codec's form. `level` is the codec's own; None is Kafka's default."""
    if codec == GZIP:
        return bytes(cramjam.gzip.compress(data, level=6 if level is None else level))
    if codec == SNAPPY:
        return _xerial(memoryview(data))
    if codec == LZ4:
        # Kafka's Java reader refuses frames whose blocks depend on each other.
        packer = cramjam.lz4.Compressor(level=level, block_linked=False)
        packer.compress(bytes(data))
        return bytes(packer.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data, level=3 if level is None else level))
    return data


def decompress(codec: int, data: Buffer, bytes_max: int) -> memoryview:
    """What was compressed. Raises CompressionError, also where it is more than `bytes_max`."""
    view = memoryview(data)
    if codec == NONE:
        return view
    try:
        if codec == SNAPPY:
            return _unsnappy(view, bytes_max)
        if codec in _UNPACK_INTO:
            return _bounded(_UNPACK_INTO[codec], view, bytes_max)
    except cramjam.DecompressionError as fault:
        raise CompressionError(f"broken compressed data: {fault}") from None
    raise CompressionError(f"compression codec {codec} is unknown")


_UNPACK_INTO: Final[dict[int, Callable[[Any, Any], int]]] = {
    GZIP: cramjam.gzip.decompress_into,
    LZ4: cramjam.lz4.decompress_into,
    ZSTD: cramjam.zstd.decompress_into,
}


def _bounded(
    unpack_into: Callable[[Any, Any], int], packed: memoryview, bytes_max: int
) -> memoryview:
    """Unpack into a buffer that grows fourfold until it is enough: few are tried twice."""
    room = min(bytes_max, max(4 * len(packed), _ROOM_BYTES_MIN))
    while True:
        buffer = bytearray(room)
        try:
            return memoryview(buffer)[: unpack_into(packed, buffer)]
        except cramjam.DecompressionError as fault:
            if _TOO_SMALL not in str(fault):
                raise
        if room == bytes_max:
            raise CompressionError(f"it unpacks to more than {bytes_max} bytes")
        room = min(4 * room, bytes_max)


def _xerial(data: memoryview) -> bytes:
    parts = [_XERIAL_HEAD]
    for start in range(0, len(data), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(data[start : start + _XERIAL_BLOCK_BYTES]))
        parts += (_LENGTH.pack(len(block)), block)
    return b"".join(parts)


def _unsnappy(packed: memoryview, bytes_max: int) -> memoryview:
    if bytes(packed[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _unsnappy_block(packed, bytes_max)
    unpacked = bytearray()
    position = len(_XERIAL_HEAD)
    while position < len(packed):
        if position + _LENGTH.size > len(packed):
            raise CompressionError("the snappy data ends inside a block's length")
        (size,) = _LENGTH.unpack_from(packed, position)
        position += _LENGTH.size
        if not 0 < size <= len(packed) - position:
            raise CompressionError(f"a snappy block says it has {size} bytes")
        unpacked += _unsnappy_block(packed[position : position + size], bytes_max - len(unpacked))
        position += size
    return memoryview(unpacked)


def _unsnappy_block(packed: memoryview, bytes_max: int) -> memoryview:
    size = cramjam.snappy.decompress_raw_len(packed)
    if size > bytes_max:
        raise CompressionError(f"it unpacks to more than {bytes_max} bytes")
    buffer = bytearray(size)
    return memoryview(buffer)[: cramjam.snappy.decompress_raw_into(packed, buffer)]
