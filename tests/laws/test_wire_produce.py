"""The hand-written Produce codec agrees with kio in every version."""

import pytest
from headrace.wire import messages, produce
from headrace.wire.framing import read_header
from headrace.wire.primitive import NodeEndpoint
from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import PRODUCE
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader

VERSIONS = range(3, 14)
NAMES = st.text(max_size=150)
COUNTS = st.integers(0, 3)
INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


def _topic(draw, version):
    if version >= produce.TOPIC_IDS_FROM:
        return draw(st.uuids())
    return draw(NAMES)


def _name(version, topic):
    return {"topic_id": topic} if version >= produce.TOPIC_IDS_FROM else {"name": topic}


def _named(version, topic):
    return topic.bytes if version >= produce.TOPIC_IDS_FROM else topic


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_requests_are_read_as_kio_reads_them(version: int, data: st.DataObject) -> None:
    draw = data.draw
    records = st.none() | st.binary(max_size=30) | st.sampled_from([130, 20_000]).map(bytes)
    topics = [
        {
            **_name(version, _topic(draw, version)),
            "partition_data": [
                {"index": draw(INT32), "records": draw(records)} for _ in range(draw(COUNTS))
            ],
        }
        for _ in range(draw(COUNTS))
    ]
    fields = {
        "transactional_id": draw(st.none() | NAMES),
        "acks": draw(st.sampled_from([-1, 0, 1])),
        "timeout_ms": draw(INT32),
        "topic_data": topics,
    }
    frame = messages.write_request(PRODUCE, version, 7, "client", fields)[4:]
    header = read_header(frame)
    theirs, _ = entity_reader(message_class(PRODUCE, version, REQUEST))(frame, header.body)

    ours = produce.read_produce(version, memoryview(bytearray(frame)), header.body)

    assert (ours.transactional_id, ours.acks) == (theirs.transactional_id, theirs.acks)
    assert ours.timeout_ms == messages.ms(theirs.timeout)
    assert [
        (topic, [(index, frame[start:end]) for index, start, end in partitions])
        for topic, partitions in ours.topics
    ] == [
        (
            _id_bytes(topic.topic_id) if version >= produce.TOPIC_IDS_FROM else topic.name,
            [(p.index, p.records or b"") for p in topic.partition_data],
        )
        for topic in theirs.topic_data
    ]


def _id_bytes(topic_id) -> bytes:
    return bytes(16) if topic_id is None else topic_id.bytes


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_answers_are_the_bytes_of_the_schema(version: int, data: st.DataObject) -> None:
    draw = data.draw
    topics = []
    for _ in range(draw(COUNTS)):
        answers = [_produced(draw) for _ in range(draw(COUNTS))]
        topics.append((_topic(draw, version), answers))
    endpoint = st.builds(NodeEndpoint, INT32, NAMES, INT32, st.none() | NAMES)
    endpoints = draw(st.lists(endpoint, max_size=2))
    throttle_time_ms = draw(INT32)

    ours = produce.write_produce(
        version,
        9,
        [(_named(version, topic), answers) for topic, answers in topics],
        throttle_time_ms,
        endpoints,
    )

    fields = {
        "responses": [
            {
                **_name(version, topic),
                "partition_responses": [_fields(answer) for answer in answers],
            }
            for topic, answers in topics
        ],
        "throttle_time_ms": throttle_time_ms,
        "node_endpoints": [endpoint._asdict() for endpoint in endpoints],
    }
    assert ours == messages.write_response(PRODUCE, version, 9, fields)


def _produced(draw) -> produce.Produced:
    if draw(st.booleans()):
        return produce.Produced(draw(INT32), 0, draw(INT64), -1, draw(INT64))
    errors = st.lists(st.tuples(INT32, st.none() | NAMES), max_size=2)
    return produce.Produced(
        draw(INT32),
        draw(st.sampled_from([2, 6, 87])),
        -1,
        draw(st.integers(-1, 2**45)),
        -1,
        draw(st.none() | NAMES),
        draw(errors),
        draw(st.none() | st.tuples(INT32, INT32) | st.just((-1, -1))),
    )


def _fields(answer: produce.Produced) -> dict:
    fields = {
        "index": answer.partition,
        "error_code": answer.code,
        "base_offset": answer.base_offset,
        "log_append_time_ms": answer.log_append_time_ms,
        "log_start_offset": answer.log_start_offset,
        "error_message": answer.error_message,
        "record_errors": [
            {"batch_index": index, "batch_index_error_message": why}
            for index, why in answer.record_errors
        ],
    }
    if answer.leader is not None:
        fields["current_leader"] = {
            "leader_id": answer.leader[0],
            "leader_epoch": answer.leader[1],
        }
    return fields
