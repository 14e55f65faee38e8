"""How many partitions one Produce may name, in either form of the request."""

import struct

import pytest
from headrace.wire.framing import ProtocolError
from headrace.wire.produce import PARTITIONS_MAX, read_produce
from headrace.wire.varint import uvarint


def legacy(topics: int, partitions: int) -> bytes:
    topic = struct.pack(">h1si", 1, b"t", partitions) + struct.pack(">ii", 0, 0) * partitions
    return struct.pack(">hhii", -1, -1, 1000, topics) + topic * topics


def flexible(topics: int, partitions: int) -> bytes:
    topic = b"\x02t" + uvarint(partitions + 1) + struct.pack(">ibx", 0, 1) * partitions + b"\x00"
    return b"\x00" + struct.pack(">hi", -1, 1000) + uvarint(topics + 1) + topic * topics + b"\x00"


@pytest.mark.parametrize(("version", "make"), [(3, legacy), (9, flexible)])
def test_the_bound_is_over_all_topics(version: int, make) -> None:
    half = PARTITIONS_MAX // 2
    request = read_produce(version, memoryview(make(2, half)), 0)
    assert sum(len(partitions) for _, partitions in request.topics) == PARTITIONS_MAX
    with pytest.raises(ProtocolError, match="partitions in one Produce"):
        read_produce(version, memoryview(make(2, half + 1)), 0)
