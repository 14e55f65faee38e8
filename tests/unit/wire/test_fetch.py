import pytest
from headrace.wire import messages
from headrace.wire.fetch import CONSUMER, Fetched, FetchPartition, read_fetch, write_fetch
from headrace.wire.framing import ProtocolError, read_header
from headrace.wire.primitive import NodeEndpoint


def request(version: int) -> bytes:
    fields = {
        "replica_id": -1,
        "max_wait_ms": 500,
        "min_bytes": 1,
        "max_bytes": 1000,
        "session_id": 4,
        "session_epoch": 2,
        "topics": [
            {
                "topic": "t",
                "topic_id": None,
                "partitions": [{"partition": 3, "fetch_offset": 77, "partition_max_bytes": 99}],
            }
        ],
        "forgotten_topics_data": [{"topic": "u", "topic_id": None, "partitions": [1, 2]}],
        "rack_id": "r",
    }
    return messages.write_request(1, version, 1, "c", fields)[4:]


@pytest.mark.parametrize("version", range(4, 19))
def test_what_is_asked(version: int) -> None:
    frame = request(version)
    read = read_fetch(version, memoryview(frame), read_header(frame).body)
    assert (read.replica_id, read.max_wait_ms, read.max_bytes) == (CONSUMER, 500, 1000)
    named = bytes(16) if version >= 13 else "t"
    assert read.topics == [(named, [FetchPartition(3, -1, 77, -1, -1, 99)])]
    assert (read.session_id, read.session_epoch) == ((4, 2) if version >= 7 else (0, -1))
    assert [indexes for _, indexes in read.forgotten] == ([[1, 2]] if version >= 7 else [])
    assert read.rack_id == ("r" if version >= 11 else "")


@pytest.mark.parametrize("version", [4, 11, 12, 18])
def test_every_cut_is_refused(version: int) -> None:
    frame = request(version)
    body = read_header(frame).body
    for end in range(body, len(frame)):
        with pytest.raises(ProtocolError):
            read_fetch(version, memoryview(frame)[:end], body)


def test_unknown_tagged_fields_are_skipped() -> None:
    frame = request(18)
    read = read_fetch(18, memoryview(frame), read_header(frame).body)
    tagged = frame[:-1] + b"\x01\x63\x02xy"
    assert read_fetch(18, memoryview(tagged), read_header(frame).body) == read


def test_records_are_chunks_of_their_own() -> None:
    records = [bytearray(b"one"), memoryview(b"two"), b""]
    answers = [Fetched(i, 0, 9, 9, 0, data) for i, data in enumerate(records)]
    chunks = write_fetch(12, 1, [("t", answers)])
    assert len(chunks) == 5
    assert chunks[1] is records[0] and chunks[3] is records[1]
    size = sum(map(len, chunks))
    assert int.from_bytes(bytes(chunks[0][:4]), "big") == size - 4


def test_where_the_leader_is_now() -> None:
    moved = Fetched(0, 6, leader=(2, 11), diverging=(3, 40))
    chunks = write_fetch(16, 1, [(bytes(16), [moved])], endpoints=[NodeEndpoint(2, "h", 9092)])
    answer = messages.read_response(1, 16, b"".join(chunks)[4:])
    partition = answer.responses[0].partitions[0]
    assert (partition.current_leader.leader_id, partition.current_leader.leader_epoch) == (2, 11)
    assert (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset) == (3, 40)
    assert answer.node_endpoints[0].host == "h"
