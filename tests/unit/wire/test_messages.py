from datetime import timedelta

import pytest
from headrace.wire import messages
from headrace.wire.framing import ProtocolError, read_header
from headrace.wire.versions import API_VERSIONS, APIS


def test_ms() -> None:
    assert messages.ms(timedelta(seconds=45)) == 45_000
    assert messages.ms(timedelta(milliseconds=-1)) == -1


@pytest.mark.parametrize("version", range(5))
def test_a_request_travels_whole(version: int) -> None:
    fields = {"group_id": "g", "generation_id": 3, "member_id": "m", "group_instance_id": "i"}
    frame = messages.write_request(12, version, 77, "client", fields)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    header = read_header(frame[4:])
    assert (header.api_key, header.api_version, header.correlation_id) == (12, version, 77)
    assert header.client_id == "client"
    request = messages.read_request(12, version, frame[4:], header.body)
    assert (request.group_id, request.generation_id) == ("g", 3)
    assert getattr(request, "group_instance_id", "i") == "i"


def test_the_header_of_api_versions_answers_is_always_the_old_one() -> None:
    answer = messages.write_response(API_VERSIONS, 4, 9, {"error_code": 0, "api_keys": []})
    assert answer[4:10] == bytes([0, 0, 0, 9, 0, 0])
    answer = messages.write_response(12, 4, 9, {"error_code": 27})
    assert answer[4:] == bytes([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 27, 0])
    assert messages.read_response(12, 4, answer[4:]).error_code == 27


def test_a_cut_answer_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="inside the response header"):
        messages.read_response(12, 4, b"\0\0\0\1")


def test_preload_goes_through_every_served_version() -> None:
    steps = sum(1 for _ in messages.preload())
    assert steps == sum(api.max_version - api.served_from + 1 for api in APIS.values())
