"""Record batches that a broker has to refuse, and why."""

import struct
import time
import zlib
from typing import Any

import cramjam
from headrace.base.errors import Code
from headrace.wire.batch import HEADER_BYTES, read_batch_header, set_crc
from headrace.wire.compression import CODECS
from headrace.wire.records import NewRecord, build_batch, seal_batch

NOW_MS = int(time.time() * 1000)
BOMB_CHUNK = bytes(16 * 1024 * 1024)
BOMB_CHUNKS = 64
LENGTH, MAGIC, CRC, ATTRIBUTES, LAST_DELTA, COUNT = 8, 16, 17, 21, 23, 57
"""Where these fields stand in a batch's header."""


def good_batch(**options: Any) -> bytearray:
    return build_batch([NewRecord(b"k", b"v%d" % n, NOW_MS) for n in range(3)], **options)


def flipped(batch: bytearray, position: int) -> bytearray:
    batch[position] ^= 0x40
    return batch


def changed(batch: bytearray, position: int, data: bytes) -> bytearray:
    """The batch with other bytes, and a CRC that is right again."""
    batch[position : position + len(data)] = data
    set_crc(memoryview(batch), 0, len(batch))
    return batch


def grown(batch: bytearray, rest: bytes, codec: int) -> bytearray:
    """The batch with more bytes behind it that it says are its own, called packed."""
    batch += rest
    batch[LENGTH : LENGTH + 4] = struct.pack(">i", len(batch) - 12)
    return changed(batch, ATTRIBUTES, struct.pack(">h", codec))


def _int(value: int) -> bytes:
    return struct.pack(">i", value)


BATCHES: dict[str, tuple[bytearray, Code]] = {
    "a flipped bit in a record": (flipped(good_batch(), HEADER_BYTES + 3), Code.CORRUPT_MESSAGE),
    "a flipped bit in the CRC": (flipped(good_batch(), CRC + 1), Code.CORRUPT_MESSAGE),
    "an old magic": (changed(good_batch(), MAGIC, b"\x01"), Code.INVALID_RECORD),
    "a future magic": (changed(good_batch(), MAGIC, b"\x03"), Code.INVALID_RECORD),
    "cut in the header": (good_batch()[:40], Code.INVALID_RECORD),
    "cut in the records": (good_batch()[:-1], Code.INVALID_RECORD),
    "a length that lies": (changed(good_batch(), LENGTH, _int(2**31 - 1)), Code.INVALID_RECORD),
    "a negative length": (changed(good_batch(), LENGTH, _int(-1)), Code.CORRUPT_MESSAGE),
    "two batches": (good_batch() + good_batch(), Code.INVALID_RECORD),
    "no records": (changed(good_batch(), COUNT, _int(0)), Code.INVALID_RECORD),
    "more records than fit": (
        changed(changed(good_batch(), COUNT, _int(2**31 - 1)), LAST_DELTA, _int(2**31 - 2)),
        Code.INVALID_RECORD,
    ),
    "an unknown codec": (
        changed(good_batch(), ATTRIBUTES, b"\x00\x07"),
        Code.UNSUPPORTED_COMPRESSION_TYPE,
    ),
    "a control batch": (good_batch(attributes=0x20), Code.INVALID_RECORD),
    "a transactional batch": (
        good_batch(attributes=0x10, producer_id=5, producer_epoch=0, base_sequence=0),
        Code.INVALID_TXN_STATE,
    ),
}


def spoiled_records() -> dict[str, bytearray]:
    """Batches whose CRC is right and whose records are not."""
    spoiled = {
        "a record length that lies": changed(good_batch(), HEADER_BYTES, b"\xfe\xff\xff\xff\x0f"),
        "a varint without end": changed(good_batch(), HEADER_BYTES, b"\xff" * 11),
    }
    plain = read_batch_header(good_batch(), 0)
    for name, codec in CODECS.items():
        if codec:
            packed = seal_batch(plain, b"not records at all" * 20, codec)
            spoiled[f"{name} of something else"] = packed
            spoiled[f"rubbish called {name}"] = grown(good_batch(), bytes(range(200)), codec)
    return spoiled


def bomb(codec: str) -> bytearray:
    """A batch that says it holds three records and unpacks to a gibibyte of zeros."""
    if codec == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        chunks = [packer.compress(BOMB_CHUNK) for _ in range(BOMB_CHUNKS)]
        packed = b"".join(chunks) + packer.flush()
    else:
        # Frames of zstd may follow one another.
        packed = bytes(cramjam.zstd.compress(BOMB_CHUNK, 19)) * BOMB_CHUNKS
    return grown(good_batch()[:HEADER_BYTES], packed, CODECS[codec])
