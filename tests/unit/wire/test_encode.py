from uuid import UUID

import pytest
from headrace.base.invariant import Bug
from headrace.wire import messages

TOPIC_ID = UUID(int=5)


def metadata(version: int, **extra: object) -> bytes:
    partition = {
        "error_code": 0,
        "partition_index": 0,
        "leader_id": 1,
        "replica_nodes": [1],
        "isr_nodes": (1,),
        "offline_replicas": [],
    }
    fields = {
        "error_code": 0,
        "brokers": [],
        "topics": [
            {
                "error_code": 3,
                "name": "t",
                "topic_id": TOPIC_ID,
                "is_internal": False,
                "partitions": [partition],
            }
        ],
        **extra,
    }
    return messages.write_response(3, version, 1, fields)


def test_a_field_that_the_version_lacks_is_dropped_and_an_absent_one_has_its_default() -> None:
    old = messages.read_response(3, 0, metadata(0)[4:])
    assert not hasattr(old.topics[0], "topic_id")
    new = messages.read_response(3, 13, metadata(13)[4:])
    assert new.topics[0].topic_id == TOPIC_ID
    assert new.controller_id == -1 and new.topics[0].partitions[0].leader_epoch == -1
    assert messages.ms(new.throttle_time) == 0


def test_a_name_that_only_versions_between_have_is_dropped() -> None:
    assert metadata(13, cluster_authorized_operations=7) == metadata(13)


def test_a_name_in_no_version_is_our_bug() -> None:
    with pytest.raises(Bug, match=r"no version of Metadata has \['broker'\]"):
        metadata(9, broker=[])


def test_a_missing_field_without_default_is_our_bug() -> None:
    with pytest.raises(Bug, match="HeartbeatResponse needs error_code"):
        messages.write_response(12, 0, 1, {})


@pytest.mark.parametrize("bad", [None, "x", 2**40])
def test_a_value_of_the_wrong_kind_is_our_bug(bad: object) -> None:
    with pytest.raises(Bug):
        messages.write_response(12, 0, 1, {"error_code": bad})


def test_null_where_there_is_none_is_our_bug() -> None:
    with pytest.raises(Bug, match="null for"):
        messages.write_request(
            12, 0, 1, None, {"group_id": None, "generation_id": 1, "member_id": ""}
        )
    with pytest.raises(Bug, match="null for"):
        messages.write_response(42, 0, 1, {"results": None})


def test_tagged_fields_with_their_default_are_left_out() -> None:
    fields = {"error_code": 0, "api_keys": []}
    plain = messages.write_response(18, 3, 1, fields)
    assert plain.endswith(b"\x01" + bytes(4) + b"\x00")
    assert messages.write_response(18, 3, 1, {**fields, "finalized_features_epoch": -1}) == plain
    told = messages.write_response(18, 3, 1, {**fields, "finalized_features_epoch": 7})
    assert told.endswith(b"\x01\x01\x08" + (7).to_bytes(8, "big"))
