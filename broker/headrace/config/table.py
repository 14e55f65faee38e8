"""All settings in one place, and the way from text to typed settings and back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from headrace.config.broker import BROKER_FIELDS, BrokerSettings
from headrace.config.key import Between, Check, Key, Kind, SettingError, Value, unknown
from headrace.config.listeners import agree_on_listeners
from headrace.config.topic import LOG_FIELDS, LogSettings

ALIASES: Final = {"data.dir": "log.dirs", "log.dir": "log.dirs", "broker.id": "node.id"}
"""Other spellings of a broker key in files and on the command line."""


@cache
def broker_keys() -> Mapping[str, Key]:
    """Every broker key, those that give topic defaults included, sorted."""
    table = {k.name: k for k in BROKER_FIELDS.values()}
    for k in LOG_FIELDS.values():
        table.update({b.name: _as_broker_key(k, index) for index, b in enumerate(k.broker)})
    return dict(sorted(table.items()))


def canonical(values: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The same settings under their canonical keys. Raises SettingError where one stands twice."""
    found: dict[str, str] = {}
    pairs = list(values)
    strangers = [name for name, _ in pairs if ALIASES.get(name, name) not in broker_keys()]
    if len(strangers) > 1:
        raise SettingError(", ".join(strangers), None, "there are no such broker settings")
    for name, text in pairs:
        key = ALIASES.get(name, name)
        if key not in broker_keys():
            raise unknown(name, [*broker_keys(), *ALIASES], "broker")
        if key in found:
            raise SettingError(name, text, f"{key} is given twice")
        found[key] = text
    return found


def broker_settings(*layers: Mapping[str, str]) -> BrokerSettings:
    """Typed settings from layers of canonical keys, the later over the earlier.

    Raises SettingError for an unknown key, a bad value, or values that contradict each other.
    """
    explicit: dict[str, str] = {}
    for layer in layers:
        explicit.update(layer)
    for name in explicit:
        if name not in broker_keys():
            raise unknown(name, broker_keys(), "broker")
    parsed = {name: broker_keys()[name].parse(text) for name, text in explicit.items()}
    changed: dict[str, Value] = {
        field: parsed[k.name] for field, k in BROKER_FIELDS.items() if k.name in parsed
    }
    log = replace(LogSettings(), **_log_defaults(parsed))  # type: ignore[arg-type]
    settings = replace(BrokerSettings(log=log), **changed)  # type: ignore[arg-type]
    _agree(settings)
    return settings


def _log_defaults(parsed: Mapping[str, Value]) -> dict[str, Value]:
    """By log field: of several broker keys for one topic key the first that is given counts."""
    changed: dict[str, Value] = {}
    for field, k in LOG_FIELDS.items():
        for b in k.broker:
            value = parsed.get(b.name)
            if value is not None:
                scaled = isinstance(value, int) and b.unit > 1 and value > 0
                changed[field] = value * b.unit if scaled else value
                break
    return changed


def _as_broker_key(topic_key: Key, index: int) -> Key:
    """The broker key that gives a topic key's default; of several the last shows the default."""
    broker = topic_key.broker[index]
    default = topic_key.default if index == len(topic_key.broker) - 1 else None
    if broker.unit > 1 and isinstance(default, int):
        default //= broker.unit
    return replace(
        topic_key,
        name=broker.name,
        default=default,
        update=broker.update,
        doc=f"Default of a topic's {topic_key.name}. {topic_key.doc}",
        kind=Kind.INT if broker.unit > 1 else topic_key.kind,
        check=_scaled(topic_key.check) if broker.unit > 1 else topic_key.check,
        broker=(),
    )


def _scaled(check: Check | None) -> Check | None:
    """The check of a key in larger units: what is refused in small ones is in these as well."""
    return Between(min(check.low, 1)) if isinstance(check, Between) else None


def _agree(settings: BrokerSettings) -> None:
    low, high = settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
    if low > high:
        raise SettingError(
            "group.min.session.timeout.ms",
            str(low),
            f"it must not exceed group.max.session.timeout.ms={high}",
        )
    heartbeat, session = settings.broker_heartbeat_interval_ms, settings.broker_session_timeout_ms
    if heartbeat * 2 > session:
        raise SettingError(
            "broker.heartbeat.interval.ms",
            str(heartbeat),
            f"it must be at most half of broker.session.timeout.ms={session}",
        )
    if settings.connection_bytes_in_flight_max < settings.socket_request_max_bytes:
        raise SettingError(
            "connection.bytes.in.flight.max",
            str(settings.connection_bytes_in_flight_max),
            "it must hold one largest request, "
            f"socket.request.max.bytes={settings.socket_request_max_bytes}",
        )
    agree_on_listeners(settings)
    if "," in settings.data_dir:
        raise SettingError("log.dirs", settings.data_dir, "a broker has one folder for its data")
    if settings.metadata_store == "etcd":
        _agree_on_etcd(settings)


def _agree_on_etcd(settings: BrokerSettings) -> None:
    name = settings.cluster_name
    if not name or "/" in name:
        raise SettingError("cluster.name", name, "it must be a name without a slash")
    if not settings.etcd_endpoints:
        raise SettingError("etcd.endpoints", None, "metadata.store=etcd needs at least one")
    for endpoint in settings.etcd_endpoints:
        host, _, port = endpoint.rpartition(":")
        if "/" in host or not host or not port.isdigit() or int(port) > 65535:
            raise SettingError("etcd.endpoints", endpoint, "it must be host:port")
    for one, other in (
        ("etcd.cert.file", "etcd.key.file"),
        ("etcd.key.file", "etcd.cert.file"),
        ("etcd.cert.file", "etcd.ca.file"),
        ("etcd.username", "etcd.password.file"),
        ("etcd.password.file", "etcd.username"),
    ):
        value = getattr(settings, one.replace(".", "_"))
        if value and not getattr(settings, other.replace(".", "_")):
            raise SettingError(one, value, f"{other} must be given with it")
