"""Refusals of whole requests can be written in every version, and tell that nothing was done."""

import random
from typing import Any

import pytest
from headrace.base.errors import Code, Refusal
from headrace.server.apis import AT_CONTROLLER
from headrace.server.forwarded_answers import nothing_was_done, refused
from headrace.wire import decode, encode, messages
from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import APIS, CREATE_TOPICS

from tests.wire.samples import mapping

GONE = Refusal(Code.NOT_CONTROLLER, "No broker is controller at the moment; try again.")


@pytest.mark.parametrize("api_key", AT_CONTROLLER)
def test_a_refusal_is_an_answer_of_every_version(api_key: int) -> None:
    api = APIS[api_key]
    for version in range(api.served_from, api.max_version + 1):
        entity = message_class(api_key, version, REQUEST)
        rng = random.Random(version)
        for _ in range(5):
            out = bytearray()
            encode.entity_writer(entity)(out, mapping(entity, rng))
            request = decode.read(entity, out, 0)[0]
            fields = refused(api_key, request, GONE)
            frame = messages.write_response(api_key, version, 1, fields)[4:]
            told: Any = messages.read_response(api_key, version, frame)
            assert type(told).__version__ == version


def test_nothing_was_done_where_every_part_was_refused_for_it() -> None:
    def answer(*codes: Code) -> dict[str, Any]:
        return {"topics": [{"name": "t", "error_code": code, "configs": []} for code in codes]}

    assert nothing_was_done(answer(Code.NOT_CONTROLLER, Code.NOT_CONTROLLER))
    assert nothing_was_done(answer(Code.NOT_CONTROLLER, Code.INVALID_REQUEST))
    assert not nothing_was_done(answer(Code.NOT_CONTROLLER, Code.NONE))
    assert not nothing_was_done(answer(Code.TOPIC_ALREADY_EXISTS))
    assert not nothing_was_done(answer())
    nested = {
        "error_code": Code.NONE,
        "responses": [{"name": "t", "partitions": [{"error_code": Code.NOT_CONTROLLER}]}],
    }
    assert nothing_was_done(nested)
    assert nothing_was_done({"error_code": Code.NOT_CONTROLLER, "results": []})


def test_each_topic_is_told_why() -> None:
    topics = [{"name": n, "num_partitions": 1, "replication_factor": 1} for n in ("a", "b")]
    asked = [{**t, "assignments": [], "configs": []} for t in topics]
    out = bytearray()
    entity = message_class(CREATE_TOPICS, 7, REQUEST)
    fields = {"topics": asked, "timeout_ms": 1, "validate_only": False}
    encode.entity_writer(entity)(out, fields)
    told = refused(CREATE_TOPICS, decode.read(entity, out, 0)[0], GONE)["topics"]
    assert [(t["name"], t["error_code"], t["error_message"]) for t in told] == [
        ("a", GONE.code, GONE.message),
        ("b", GONE.code, GONE.message),
    ]
