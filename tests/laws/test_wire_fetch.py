"""The hand-written Fetch codec agrees with kio in every version."""

import pytest
from headrace.wire import fetch, messages
from headrace.wire.framing import read_header
from headrace.wire.primitive import NodeEndpoint
from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import FETCH
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader

VERSIONS = range(4, 19)
NAMES = st.text(max_size=150)
COUNTS = st.integers(0, 3)
INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


def _topic(draw, version):
    return draw(st.uuids()) if version >= fetch.TOPIC_IDS_FROM else draw(NAMES)


def _name(version, topic):
    return {"topic_id": topic} if version >= fetch.TOPIC_IDS_FROM else {"topic": topic}


def _named(version, topic):
    if version < fetch.TOPIC_IDS_FROM:
        return topic
    return bytes(16) if topic is None else topic.bytes


def _asked(entity, version):
    return entity.topic_id if version >= fetch.TOPIC_IDS_FROM else entity.topic


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_requests_are_read_as_kio_reads_them(version: int, data: st.DataObject) -> None:
    draw = data.draw
    fields = {
        "max_wait_ms": draw(INT32),
        "min_bytes": draw(INT32),
        "max_bytes": draw(INT32),
        "isolation_level": draw(st.sampled_from([0, 1])),
        "session_id": draw(INT32),
        "session_epoch": draw(INT32),
        "topics": [_topic_fields(draw, version) for _ in range(draw(COUNTS))],
        "forgotten_topics_data": [
            {
                **_name(version, _topic(draw, version)),
                "partitions": draw(st.lists(INT32, max_size=3)),
            }
            for _ in range(draw(COUNTS))
        ],
        "rack_id": draw(NAMES),
        "replica_id": draw(INT32),
    }
    if draw(st.booleans()):
        fields["cluster_id"] = draw(NAMES)
        fields["replica_state"] = {"replica_id": draw(INT32), "replica_epoch": draw(INT64)}
    if version >= fetch.REPLICA_STATE_FROM:
        del fields["replica_id"]
    frame = messages.write_request(FETCH, version, 7, "client", fields)[4:]
    header = read_header(frame)
    theirs, _ = entity_reader(message_class(FETCH, version, REQUEST))(frame, header.body)

    ours = fetch.read_fetch(version, memoryview(bytearray(frame)), header.body)

    state = getattr(theirs, "replica_state", None)
    assert ours == fetch.FetchRequest(
        state.replica_id if state else theirs.replica_id,
        state.replica_epoch if state else -1,
        messages.ms(theirs.max_wait),
        theirs.min_bytes,
        theirs.max_bytes,
        theirs.isolation_level,
        getattr(theirs, "session_id", 0),
        getattr(theirs, "session_epoch", -1),
        [
            (
                _named(version, _asked(topic, version)),
                [
                    fetch.FetchPartition(
                        p.partition,
                        getattr(p, "current_leader_epoch", -1),
                        p.fetch_offset,
                        getattr(p, "last_fetched_epoch", -1),
                        getattr(p, "log_start_offset", -1),
                        p.partition_max_bytes,
                    )
                    for p in topic.partitions
                ],
            )
            for topic in theirs.topics
        ],
        [
            (_named(version, _asked(topic, version)), list(topic.partitions))
            for topic in getattr(theirs, "forgotten_topics_data", ())
        ],
        getattr(theirs, "rack_id", ""),
        getattr(theirs, "cluster_id", None),
    )


def _topic_fields(draw, version) -> dict:
    def partition() -> dict:
        fields = {
            "partition": draw(INT32),
            "current_leader_epoch": draw(INT32),
            "fetch_offset": draw(INT64),
            "last_fetched_epoch": draw(INT32),
            "log_start_offset": draw(INT64),
            "partition_max_bytes": draw(INT32),
        }
        if draw(st.booleans()):
            fields |= {"replica_directory_id": draw(st.uuids()), "high_watermark": draw(INT64)}
        return fields

    return {
        **_name(version, _topic(draw, version)),
        "partitions": [partition() for _ in range(draw(COUNTS))],
    }


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_answers_are_the_bytes_of_the_schema(version: int, data: st.DataObject) -> None:
    draw = data.draw
    topics = [
        (_topic(draw, version), [_fetched(draw) for _ in range(draw(COUNTS))])
        for _ in range(draw(COUNTS))
    ]
    endpoint = st.builds(NodeEndpoint, INT32, NAMES, INT32, st.none() | NAMES)
    endpoints = draw(st.lists(endpoint, max_size=2))
    head = {"code": draw(st.sampled_from([0, 70])), "session_id": draw(INT32)}

    chunks = fetch.write_fetch(
        version,
        9,
        [(_named(version, topic), answers) for topic, answers in topics],
        throttle_time_ms=3,
        endpoints=endpoints,
        **head,
    )

    fields = {
        "throttle_time_ms": 3,
        "error_code": head["code"],
        "session_id": head["session_id"],
        "responses": [
            {**_name(version, topic), "partitions": [_fields(answer) for answer in answers]}
            for topic, answers in topics
        ],
        "node_endpoints": [endpoint._asdict() for endpoint in endpoints],
    }
    assert b"".join(chunks) == messages.write_response(FETCH, version, 9, fields)
    for _, answers in topics:
        for answer in answers:
            if answer.records:
                assert any(chunk is answer.records for chunk in chunks), "records were copied"


def _fetched(draw) -> fetch.Fetched:
    pair = st.tuples(INT32, INT64)
    return fetch.Fetched(
        draw(INT32),
        draw(st.sampled_from([0, 1, 6])),
        draw(INT64),
        draw(INT64),
        draw(INT64),
        draw(st.none() | st.binary(max_size=20) | st.just(bytes(300))),
        draw(st.none() | st.lists(st.tuples(INT64, INT64), max_size=2)),
        draw(INT32),
        draw(st.none() | pair | st.just((-1, -1))),
        draw(st.none() | st.tuples(INT32, INT32) | st.just((-1, -1))),
    )


def _fields(answer: fetch.Fetched) -> dict:
    aborted = answer.aborted
    fields = {
        "partition_index": answer.partition,
        "error_code": answer.code,
        "high_watermark": answer.high_watermark,
        "last_stable_offset": answer.last_stable_offset,
        "log_start_offset": answer.log_start_offset,
        "aborted_transactions": None
        if aborted is None
        else [{"producer_id": pid, "first_offset": first} for pid, first in aborted],
        "preferred_read_replica": answer.preferred_read_replica,
        "records": answer.records,
    }
    if answer.diverging is not None:
        epoch, end_offset = answer.diverging
        fields["diverging_epoch"] = {"epoch": epoch, "end_offset": end_offset}
    if answer.leader is not None:
        leader_id, leader_epoch = answer.leader
        fields["current_leader"] = {"leader_id": leader_id, "leader_epoch": leader_epoch}
    return fields
