"""`listeners` and `advertised.listeners`: from texts to endpoints, and what may stand there."""

from collections.abc import Iterable
from typing import Final

from headrace.base.image import Endpoint
from headrace.config.broker import BrokerSettings
from headrace.config.key import SettingError

_NOT_SERVED: Final = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")
"""In Kafka these names stand for a protocol; a listener of that name would be taken for safe."""
EVERYWHERE: Final = ("", "0.0.0.0", "::")
"""Hosts to listen on that nobody can connect to."""


def endpoints_of(key: str, addresses: Iterable[str]) -> tuple[Endpoint, ...]:
    """The value of a setting that lists addresses. Raises SettingError."""
    found: dict[str, Endpoint] = {}
    for address in addresses:
        name, separator, rest = address.partition("://")
        host, colon, port = rest.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        number = int(port) if port.isascii() and port.isdigit() else -1
        if not (name and separator and colon) or not 0 <= number <= 65535 or "/" in host:
            raise SettingError(key, address, "it must be of the form NAME://host:port")
        if name in found:
            raise SettingError(key, address, f"the listener {name} is there twice")
        found[name] = Endpoint(listener=name, host=host, port=number)
    return tuple(found.values())


def agree_on_listeners(settings: BrokerSettings) -> None:
    """Raises SettingError where no broker could listen there, or clients could not follow."""
    names = [e.listener for e in endpoints_of("listeners", settings.listeners)]
    if not names:
        raise SettingError("listeners", "", "there must be at least one")
    for name, text in zip(names, settings.listeners, strict=True):
        if name in _NOT_SERVED:
            raise SettingError(
                "listeners", text, f"{name} is not served in this release, only plain TCP"
            )
    key = "advertised.listeners"
    advertised = endpoints_of(key, settings.advertised_listeners)
    for endpoint, text in zip(advertised, settings.advertised_listeners, strict=True):
        if endpoint.listener not in names:
            known = ", ".join(names)
            raise SettingError(key, text, f"there is no such listener; listeners has {known}")
        if endpoint.host in EVERYWHERE or not endpoint.port:
            raise SettingError(key, text, "it must be a host and a port that clients can reach")
    control = settings.control_listener_name
    if advertised and control in names and all(e.listener != control for e in advertised):
        raise SettingError(
            key,
            ",".join(settings.advertised_listeners),
            f"the listener {control} must be among them: the other brokers use it",
        )


def advertised(settings: BrokerSettings, bound: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """What clients are told where these are listened on.

    As in Kafka, a listener that advertised.listeners leaves out is not advertised at all; only
    where it is empty are the listeners themselves.
    """
    given = endpoints_of("advertised.listeners", settings.advertised_listeners)
    if given:
        by_name = {endpoint.listener: endpoint for endpoint in given}
        return tuple(by_name[e.listener] for e in bound if e.listener in by_name)
    return bound
