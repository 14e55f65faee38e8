"""Produce v0-v2 are refused in their own layout, whatever their bytes say."""

import random
import struct

import pytest
from headrace.base.errors import Code
from headrace.server.apis.a00_produce import _refuse_old
from headrace.wire.framing import ProtocolError, RequestHeader


def refuse(version: int, body: bytes) -> bytes | None:
    return _refuse_old(RequestHeader(0, version, 7, "c", 0), memoryview(body))


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_partition_is_refused(version: int) -> None:
    body = struct.pack(">hii", -1, 100, 1) + struct.pack(">h", 1) + b"t"
    body += struct.pack(">i", 1) + struct.pack(">ii", 3, 2) + b"ab"
    answer = refuse(version, body)
    assert answer is not None
    size, correlation_id, topics = struct.unpack_from(">iii", answer)
    assert (size, correlation_id, topics) == (len(answer) - 4, 7, 1)
    index, code, offset = struct.unpack_from(">ihq", answer, 12 + 3 + 4)
    assert (index, code, offset) == (3, Code.UNSUPPORTED_VERSION, -1)


def test_acks_0_gets_no_answer() -> None:
    assert refuse(2, struct.pack(">hii", 0, 100, 0)) is None


def test_a_name_of_negative_length_does_not_send_the_parser_back() -> None:
    body = struct.pack(">hii", -1, 100, 2**31 - 1) + struct.pack(">hi", -6, 0) * 100
    with pytest.raises(ProtocolError):
        refuse(1, body)


def test_random_bytes_end_soon() -> None:
    dice = random.Random(7)
    for _ in range(2000):
        body = dice.randbytes(dice.randint(0, 80))
        if dice.random() < 0.5:
            body = struct.pack(">hii", -1, 100, 2**31 - 1) + body
        try:
            refuse(dice.randint(0, 2), body)
        except ProtocolError:
            continue
