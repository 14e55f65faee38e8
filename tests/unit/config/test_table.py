"""The settings table: every key parses, wrong ones are named, layers and units work."""

import pytest
from headrace.config.broker import BROKER_FIELDS, BrokerSettings
from headrace.config.key import Kind, SettingError, text_of
from headrace.config.table import ALIASES, broker_keys, broker_settings, canonical
from headrace.config.topic import TOPIC_KEYS, LogSettings, log_settings


def test_no_settings_give_the_defaults() -> None:
    assert broker_settings({}) == BrokerSettings()
    assert log_settings(BrokerSettings(), {}) == LogSettings()


def test_every_default_is_a_value_its_key_takes() -> None:
    for key in [*broker_keys().values(), *TOPIC_KEYS.values()]:
        assert len(key.doc) > 20, key.name
        text = text_of(key.default)
        assert text is None or key.parse(text) == key.default, key.name


def test_field_names_are_kafkas_keys_with_underscores() -> None:
    """The one exception is the data folder, which Kafka calls log.dirs."""
    for field, key in BROKER_FIELDS.items():
        assert field == key.name.replace(".", "_") or field == "data_dir"
    for name in TOPIC_KEYS:
        assert hasattr(LogSettings(), name.replace(".", "_"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.retention.hour", "1", "closest is log.retention.hours"),
        ("log.roll.hours", "0", "log.roll.hours=0: the value must be at least 1"),
        ("log.retention.hours", "-5", "the value must be at least -1"),
        ("log.cleaner.io.max.bytes.per.second", "0", "the value must be at least 1"),
        ("log.dirs", "/a,/b", "log.dirs=/a,/b: a broker has one folder for its data"),
        ("num.partitions", "0", "num.partitions=0: the value must be at least 1"),
        ("num.partitions", "many", "num.partitions=many: it is not a whole number"),
        ("num.partitions", "3000000000", "not a whole number from -2147483648 to 2147483647"),
        ("num.partitions", "1.5", "not a whole number"),
        ("auto.create.topics.enable", "yes", "either true or false"),
        ("durability", "always", "one of: never, interval, ack"),
        ("log.cleanup.policy", "compact,burn", "one of: compact, delete"),
        ("compression.gzip.level", "0", "at least 1, or be -1"),
        ("http.port", "70000", "no more than 65535"),
        ("log.cleaner.min.cleanable.ratio", "1.1", "no more than 1"),
    ],
)
def test_a_bad_setting_is_named_with_its_cure(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        broker_settings({name: text})
    assert message in str(caught.value)
    assert caught.value.name == name


@pytest.mark.parametrize(
    "settings",
    [
        {"group.min.session.timeout.ms": "10", "group.max.session.timeout.ms": "9"},
        {"broker.heartbeat.interval.ms": "9000"},
        {"connection.bytes.in.flight.max": "1000"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="must"):
        broker_settings(settings)


ETCD = {"metadata.store": "etcd", "etcd.endpoints": "a:2379,[::1]:2379"}


def test_etcd_is_described_whole() -> None:
    assert broker_settings(ETCD).etcd_endpoints == ("a:2379", "[::1]:2379")
    assert broker_settings({"cluster.name": "a/b"}).cluster_name == "a/b"  # nobody reads it


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("etcd.endpoints", "", "needs at least one"),
        ("etcd.endpoints", "https://a:2379", "host:port"),
        ("etcd.endpoints", "a", "host:port"),
        ("etcd.endpoints", "a:2379,b:70000", "etcd.endpoints=b:70000"),
        ("cluster.name", "a/b", "without a slash"),
        ("cluster.name", "", "without a slash"),
        ("etcd.key.file", "k", "etcd.cert.file must be given"),
        ("etcd.username", "u", "etcd.password.file must be given"),
        ("etcd.password.file", "p", "etcd.username must be given"),
    ],
)
def test_an_etcd_described_by_halves_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        broker_settings(ETCD | {name: text})
    assert message in str(caught.value)
    assert caught.value.name == name


def test_a_certificate_needs_its_key_and_an_authority() -> None:
    with pytest.raises(SettingError, match=r"etcd.key.file must"):
        broker_settings(ETCD | {"etcd.cert.file": "c"})
    with pytest.raises(SettingError, match=r"etcd.ca.file must"):
        broker_settings(ETCD | {"etcd.cert.file": "c", "etcd.key.file": "k"})


def test_a_topic_key_is_no_broker_key() -> None:
    with pytest.raises(SettingError, match=r"closest is log.segment.bytes"):
        broker_settings({"segment.bytes": "2000000"})
    with pytest.raises(SettingError, match="no such topic setting"):
        log_settings(BrokerSettings(), {"log.segment.bytes": "2000000"})


def test_of_several_units_the_finest_counts() -> None:
    def retention_ms(**given: str) -> int:
        settings = broker_settings({f"log.retention.{unit}": v for unit, v in given.items()})
        return settings.log.retention_ms

    assert retention_ms(hours="2") == 7_200_000
    assert retention_ms(hours="2", minutes="3") == 180_000
    assert retention_ms(hours="2", minutes="3", ms="4") == 4
    assert retention_ms(hours="-1") == -1


def test_later_layers_win_and_topics_win_over_all() -> None:
    broker = broker_settings({"message.max.bytes": "10"}, {"message.max.bytes": "20"}, {})
    assert broker.log.max_message_bytes == 20
    assert log_settings(broker, {"max.message.bytes": "30"}).max_message_bytes == 30


def test_other_spellings_are_one_key() -> None:
    for alias, name in ALIASES.items():
        assert canonical([(alias, "5")]) == {name: "5"}
        with pytest.raises(SettingError, match="given twice"):
            canonical([(alias, "5"), (name, "5")])


def test_texts_are_as_kafka_writes_them() -> None:
    assert text_of(True) == "true"
    assert text_of(("a", "b")) == "a,b"
    assert text_of(None) is None
    assert text_of(0.5) == "0.5"
    key = broker_keys()["log.cleaner.io.max.bytes.per.second"]
    assert (key.kind, text_of(key.default)) == (Kind.DOUBLE, "1.7976931348623157E308")


def test_every_stranger_is_named_at_once() -> None:
    pairs = [("process.roles", "broker"), ("node.id", "1"), ("zookeeper.connect", "z:2181")]
    with pytest.raises(SettingError, match=r"^process\.roles, zookeeper\.connect: there are no"):
        canonical(pairs)
