import pytest
from headrace.wire.consumer_protocol import (
    Assignment,
    Subscription,
    read_assignment,
    read_subscription,
    write_assignment,
    write_subscription,
)
from headrace.wire.framing import ProtocolError


def test_there_and_back() -> None:
    subscription = Subscription(topics=("t",), owned={"t": (1, 2)}, generation_id=3, rack_id="r")
    assert read_subscription(write_subscription(subscription)) == subscription
    assignment = Assignment(partitions={"t": (0,), "u": (3, 4)}, user_data=b"x")
    assert read_assignment(write_assignment(assignment)) == assignment


def test_the_oldest_version() -> None:
    data = b"\0\0" + b"\0\0\0\1\0\1t" + b"\xff\xff\xff\xff"
    assert read_subscription(data) == Subscription(topics=("t",), owned={})


def test_a_newer_version_is_read_as_the_newest_known() -> None:
    data = write_assignment(Assignment(partitions={"t": (0,)}))
    assert read_assignment(b"\0\x09" + data[2:] + b"more") == read_assignment(data)


def test_no_assignment_is_an_empty_one() -> None:
    assert read_assignment(b"") == Assignment(partitions={})


@pytest.mark.parametrize("data", [b"\0", b"\xff\xff", b"\0\0\0\0\0\5", b"\0\1\x7f\xff\xff\xff"])
def test_broken_bytes(data: bytes) -> None:
    for read in (read_assignment, read_subscription):
        with pytest.raises(ProtocolError):
            read(data)
