import pytest
from headrace.wire import messages
from headrace.wire.framing import ProtocolError, read_header
from headrace.wire.produce import Produced, read_produce, write_produce
from headrace.wire.varint import uvarint

RECORDS = b"r" * 200


def request(version: int) -> bytes:
    fields = {
        "transactional_id": None,
        "acks": -1,
        "timeout_ms": 1500,
        "topic_data": [
            {
                "name": "topic",
                "topic_id": None,
                "partition_data": [{"index": 3, "records": RECORDS}],
            }
        ],
    }
    return messages.write_request(0, version, 1, "c", fields)[4:]


@pytest.mark.parametrize("version", [3, 8, 9, 12, 13])
def test_the_common_request(version: int) -> None:
    frame = request(version)
    read = read_produce(version, memoryview(frame), read_header(frame).body)
    assert (read.transactional_id, read.acks, read.timeout_ms) == (None, -1, 1500)
    (topic, ((partition, start, end),)) = read.topics[0]
    assert topic == (bytes(16) if version == 13 else "topic")
    assert partition == 3 and frame[start:end] == RECORDS


def test_unknown_tagged_fields_are_skipped() -> None:
    frame = request(12)
    assert frame.endswith(b"\0\0\0")
    tags = b"\x01\x63\x02xy"
    for tagged in (frame[:-1] + tags, frame[:-2] + tags + b"\0", frame[:-3] + tags + b"\0\0"):
        read = read_produce(12, memoryview(tagged), read_header(frame).body)
        assert read == read_produce(12, memoryview(frame), read_header(frame).body)


@pytest.mark.parametrize("version", [3, 12, 13])
def test_every_cut_is_refused(version: int) -> None:
    frame = request(version)
    body = read_header(frame).body
    for end in range(body, len(frame)):
        with pytest.raises(ProtocolError):
            read_produce(version, memoryview(frame)[:end], body)


def test_lengths_that_lie_are_refused() -> None:
    head = b"\x00" + b"\xff\xff" + bytes(4)
    for lie in (
        uvarint(2**31) + bytes(50),
        b"\x02\x02t" + uvarint(2_000_000) + bytes(50),
        b"\x02\x02t\x02" + bytes(4) + uvarint(2**30) + bytes(50),
        b"\x00" + bytes(50),
        b"\x02\x00" + bytes(50),
    ):
        with pytest.raises(ProtocolError):
            read_produce(12, memoryview(head + lie), 0)
    with pytest.raises(ProtocolError, match="length -7"):
        legacy = b"\xff\xff" + b"\xff\xff" + bytes(4) + b"\0\0\0\1\0\1t\0\0\0\1" + bytes(4)
        read_produce(3, memoryview(legacy + (-7).to_bytes(4, "big", signed=True)), 0)


def test_the_short_form_of_an_answer_is_the_general_one() -> None:
    """One partition has its own path; two go the general way."""
    one = write_produce(12, 5, [("t", [Produced(0, 0, 77)])], 9)
    two = write_produce(12, 5, [("t", [Produced(0, 0, 77)]), ("u", [])], 9)
    fields = {"responses": [], "throttle_time_ms": 9}
    answer = {"index": 0, "error_code": 0, "base_offset": 77, "record_errors": []}
    fields["responses"].append({"name": "t", "partition_responses": [answer]})
    assert one == messages.write_response(0, 12, 5, fields)
    fields["responses"].append({"name": "u", "partition_responses": []})
    assert two == messages.write_response(0, 12, 5, fields)
