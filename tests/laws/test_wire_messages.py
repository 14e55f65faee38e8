"""Our codecs agree with kio's in every message of every version we serve."""

import random

import pytest
from headrace.server.apis import AT_CONTROLLER
from headrace.wire import decode, encode, messages
from headrace.wire.schema import REQUEST, RESPONSE, message_class
from headrace.wire.versions import APIS
from kio.serial import entity_reader, entity_writer

from tests.wire.samples import mapping

MESSAGES = [
    pytest.param(api.key, version, direction, id=f"{api.name}-v{version}-{direction}")
    for api in APIS.values()
    for version in range(api.served_from, api.max_version + 1)
    for direction in (REQUEST, RESPONSE)
]


def _versions(api_key: int) -> range:
    return range(APIS[api_key].served_from, APIS[api_key].max_version + 1)


class _Sink(bytearray):
    write = bytearray.extend


@pytest.mark.parametrize(("api_key", "version", "direction"), MESSAGES)
def test_bytes_and_entities_are_those_of_kio(api_key: int, version: int, direction: str) -> None:
    entity = message_class(api_key, version, direction)
    rng = random.Random(f"{api_key} {version} {direction}")
    for _ in range(6):
        fields = mapping(entity, rng)
        ours = bytearray()
        encode.entity_writer(entity)(ours, fields)
        data = bytes(ours)

        by_kio, end = entity_reader(entity)(data, 0)
        assert end == len(data)
        written = _Sink()
        entity_writer(entity)(written, by_kio)
        assert bytes(written) == data

        assert decode.read(entity, memoryview(data), 0) == (by_kio, len(data))


@pytest.mark.parametrize(
    ("api_key", "version"),
    [(key, version) for key in AT_CONTROLLER for version in _versions(key)],
)
def test_what_is_forwarded_is_written_as_it_was_read(api_key: int, version: int) -> None:
    rng = random.Random(f"{api_key} {version}")
    for direction in (REQUEST, RESPONSE):
        entity = message_class(api_key, version, direction)
        for _ in range(6):
            out, again = bytearray(), bytearray()
            encode.entity_writer(entity)(out, mapping(entity, rng))
            fields = messages.fields_of(decode.read(entity, out, 0)[0])
            encode.entity_writer(entity)(again, fields)
            assert again == out


@pytest.mark.parametrize(("api_key", "version", "direction"), MESSAGES)
def test_a_cut_message_is_never_read_as_a_whole_one(
    api_key: int, version: int, direction: str
) -> None:
    entity = message_class(api_key, version, direction)
    out = bytearray()
    encode.entity_writer(entity)(out, mapping(entity, random.Random(7)))
    for end in range(0, len(out), max(1, len(out) // 16)):
        with pytest.raises(decode.ProtocolError):
            decode.read(entity, memoryview(out)[:end], 0)
