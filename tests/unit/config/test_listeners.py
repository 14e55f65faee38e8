"""Where a broker listens and what it tells clients: what is refused, in words, and what is told."""

import pytest
from headrace.base.image import Endpoint
from headrace.config.key import SettingError
from headrace.config.listeners import advertised, endpoints_of
from headrace.config.table import broker_settings

BOTH = {"listeners": "IN://:9092,CONTROL://:9091"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"listeners": ""}, "listeners=: there must be at least one"),
        ({"listeners": "9092"}, "listeners=9092: it must be of the form NAME://host:port"),
        ({"listeners": "A://h"}, "NAME://host:port"),
        ({"listeners": "://h:1"}, "NAME://host:port"),
        ({"listeners": "A://h:65536"}, "NAME://host:port"),
        ({"listeners": "A://h:-1"}, "NAME://host:port"),
        ({"listeners": "A://h:²"}, "NAME://host:port"),
        ({"listeners": "A://h/:1"}, "NAME://host:port"),
        ({"listeners": "A://:1,A://:2"}, "listeners=A://:2: the listener A is there twice"),
        ({"listeners": "SSL://:9093"}, "SSL is not served in this release, only plain TCP"),
        ({"listeners": "A://:1,SASL_SSL://:2"}, "listeners=SASL_SSL://:2: SASL_SSL is not served"),
        ({"advertised.listeners": "OUT://h:1"}, "no such listener; listeners has PLAINTEXT"),
        ({"advertised.listeners": "PLAINTEXT://h"}, "NAME://host:port"),
        ({"advertised.listeners": "PLAINTEXT://:9092"}, "a host and a port that clients can"),
        ({"advertised.listeners": "PLAINTEXT://0.0.0.0:9092"}, "that clients can reach"),
        ({"advertised.listeners": "PLAINTEXT://[::]:9092"}, "that clients can reach"),
        ({"advertised.listeners": "PLAINTEXT://h:0"}, "that clients can reach"),
        (BOTH | {"advertised.listeners": "IN://h:1"}, "the listener CONTROL must be among them"),
    ],
)
def test_what_may_not_stand_there(settings: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError) as refused:
        broker_settings(settings)
    assert message in str(refused.value)


def told(**settings: str) -> list[tuple[str, str, int]]:
    given = broker_settings({key.replace("_", "."): text for key, text in settings.items()})
    bound = endpoints_of("listeners", given.listeners)
    return [(e.listener, e.host, e.port) for e in advertised(given, bound)]


def test_what_is_told_to_clients() -> None:
    listeners = "IN://a:1,OUT://b:2"
    assert told(listeners=listeners) == [("IN", "a", 1), ("OUT", "b", 2)]
    assert told(listeners=listeners, advertised_listeners="OUT://o:9,IN://i:8") == [
        ("IN", "i", 8),
        ("OUT", "o", 9),
    ]
    assert told(listeners=listeners, advertised_listeners="IN://i:8") == [("IN", "i", 8)]


def test_an_address_of_ipv6() -> None:
    assert endpoints_of("listeners", ["A://[fd00::1]:9092", "B://fd00::2:9093"]) == (
        Endpoint(listener="A", host="fd00::1", port=9092),
        Endpoint(listener="B", host="fd00::2", port=9093),
    )
