"""`headrace broker --config` over a real etcd: killed, started again, left alone by etcd."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from e2e.kafka.headrace import executable
from e2e.kafka.process import LOOPBACK, BrokerFailed, BrokerProcess, free_ports
from e2e.rig.etcd import Etcd
from tests.integration.clients import create_topic, offsets, pairs, produce, read_to_end, until
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.conftest import options

RECORDS = pairs("none", 50)
SESSION_MS = 2_000


class EtcdBroker(BrokerProcess):
    """One broker, started by its settings file as in production."""

    name = "headrace broker"

    def __init__(
        self, data_dir: Path, etcd: Etcd, settings: dict[str, str], kafka_port: int | None = None
    ) -> None:
        super().__init__(data_dir, kafka_port=kafka_port)
        self.http_port = free_ports(1)[0]
        reached = options(etcd)
        self._file = data_dir.with_suffix(".properties")
        self._settings = {
            "log.dirs": str(data_dir),
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.kafka_port}",
            "http.host": LOOPBACK,
            "http.port": str(self.http_port),
            "metadata.store": "etcd",
            "cluster.name": "tested",
            "etcd.endpoints": ",".join(reached.endpoints),
            "etcd.ca.file": reached.ca_file,
            "etcd.cert.file": reached.cert_file,
            "etcd.key.file": reached.key_file,
            "broker.session.timeout.ms": str(SESSION_MS),
            "broker.heartbeat.interval.ms": "500",
            "offsets.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
        } | settings

    def prepare(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("".join(f"{k}={v}\n" for k, v in self._settings.items()))

    def command(self) -> list[str]:
        return [str(executable()), "broker", "--config", str(self._file)]

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of its HTTP endpoint; (0, "") while nobody listens there."""
        try:
            url = f"http://{LOOPBACK}:{self.http_port}{path}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""


MakeBroker = Callable[..., EtcdBroker]


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    """`make_broker(etcd, folder="data")`: not started, killed at the end."""
    made: list[EtcdBroker] = []
    with ExitStack() as stack:

        def make(etcd: Etcd, folder: str = "data", **settings: str) -> EtcdBroker:
            one = EtcdBroker(tmp_path / folder, etcd, settings)
            made.append(one)
            stack.callback(one.kill)
            return one

        yield make
    for one in made:
        assert_no_bug(one.output())


def commit(broker: EtcdBroker, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    finally:
        consumer.close()


def committed(broker: EtcdBroker, topic: str) -> int:
    return offsets(broker, "g", [TopicPartition(topic, 0)])[0]


def refusal(broker: EtcdBroker, topic: str) -> KafkaError:
    """The error that a topic's creation is answered with."""
    with pytest.raises(KafkaException) as caught:
        create_topic(broker, topic)
    error: KafkaError = caught.value.args[0]
    return error


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in the partitions' folders, and the names of all else."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes() if file.parent != folder else b""
        for file in files
    }


def leader_epoch(broker: EtcdBroker, topic: str) -> int:
    """Of partition 0, as its last line in leader-epoch-checkpoint says: "epoch offset"."""
    lines = (broker.data_dir / f"{topic}-0" / "leader-epoch-checkpoint").read_text().split("\n")
    return int(lines[-2].split()[0])


@pytest.mark.parametrize("lease", ["alive", "over"])
def test_a_killed_broker_comes_back_with_the_same_data(
    etcd: Etcd, make_broker: MakeBroker, lease: str
) -> None:
    broker = make_broker(etcd)
    broker.start()
    create_topic(broker, "kept", config={"retention.ms": "123456789"})
    produce(broker, "kept", RECORDS)
    commit(broker, "kept", 7)
    broker.kill()
    assert not (broker.data_dir / "metadata.sqlite").exists()
    key = "/headrace/tested/brokers/1"
    if lease == "over":
        until(lambda: not etcd.control("get", key), "the registration ends with its lease")
    else:
        assert etcd.control("get", key)
    broker.start()
    assert read_to_end(broker, "kept") == RECORDS
    assert committed(broker, "kept") == 7
    produce(broker, "kept", RECORDS)
    assert read_to_end(broker, "kept") == RECORDS + RECORDS
    create_topic(broker, "more")
    broker.stop()
    assert leader_epoch(broker, "kept") == 1, "an unclean stop gives a new leader epoch"
    assert not etcd.control("get", key), "a clean stop ends the registration at once"


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_broker_serves_on_while_etcd_is_away(
    tmp_path: Path, make_broker: MakeBroker, how: str
) -> None:
    with Etcd(tmp_path / "etcd") as etcd:
        # etcd takes longer to stop than this broker's lease lasts: the registration may end first.
        broker = make_broker(etcd)
        broker.start()
        pid = broker.pid
        create_topic(broker, "t")
        commit(broker, "t", 0)
        etcd.stop() if how == "stopped" else etcd.pause()
        produce(broker, "t", RECORDS)
        assert read_to_end(broker, "t") == RECORDS
        commit(broker, "t", 11)
        refused = refusal(broker, "late")
        assert refused.code() == KafkaError.REQUEST_TIMED_OUT
        assert "etcd" in refused.str()
        until(lambda: "could not be renewed" in broker.output(), "it says that etcd is away")
        assert broker.page("/readyz") == (200, "ready\n")
        assert broker.page("/healthz")[0] == 200
        # A producer that wants an id, as Java's do by default, and has none yet.
        produce(broker, "t", RECORDS, **{"enable.idempotence": True})
        etcd.start() if how == "stopped" else etcd.resume()
        until(lambda: created(broker, "late"), "topics can be made again")
        produce(broker, "late", RECORDS)
        assert read_to_end(broker, "late") == RECORDS
        assert read_to_end(broker, "t") == RECORDS + RECORDS
        assert committed(broker, "t") == 11
        assert broker.pid == pid
        assert broker.process is not None and broker.process.poll() is None
        broker.stop()


def created(broker: EtcdBroker, topic: str) -> bool:
    """Whether the topic could be made, now or by the request before."""
    try:
        create_topic(broker, topic)
    except KafkaException as refused:
        return bool(refused.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS)
    return True


def test_a_broker_waits_for_an_etcd_that_comes_later(
    tmp_path: Path, make_broker: MakeBroker
) -> None:
    etcd = Etcd(tmp_path / "etcd")
    broker = make_broker(etcd)
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(broker.start)
        until(lambda: "waiting for" in broker.page("/readyz")[1], "it says what it waits for")
        status, text = broker.page("/readyz")
        assert status == 503
        assert etcd.endpoints[0] in text
        assert broker.page("/healthz")[0] == 200
        with etcd:
            starting.result()
            create_topic(broker, "t")
            broker.stop()
    assert 1 <= broker.output().count("waiting for the metadata store") <= 3, "said once a reason"


def test_a_folder_of_another_cluster_is_refused_and_left_alone(
    etcd: Etcd, make_broker: MakeBroker
) -> None:
    ours, other = make_broker(etcd), make_broker(etcd, "other", **{"cluster.name": "another"})
    with other:
        create_topic(other, "theirs")
    with ours:
        create_topic(ours, "kept")
        produce(ours, "kept", RECORDS)
    before = contents(ours.data_dir)
    wrong = make_broker(etcd, **{"cluster.name": "another"})
    with pytest.raises(BrokerFailed, match="belongs to the cluster"):
        wrong.start()
    assert contents(ours.data_dir) == before
    with ours:
        assert read_to_end(ours, "kept") == RECORDS


def test_a_store_that_lost_everything_is_refused_and_nothing_deleted(
    etcd: Etcd, make_broker: MakeBroker
) -> None:
    broker = make_broker(etcd)
    with broker:
        create_topic(broker, "kept")
        produce(broker, "kept", RECORDS)
    before = contents(broker.data_dir)
    etcd.control("del", "--prefix", "")
    with pytest.raises(BrokerFailed, match=r"holds 1 partitions \(kept-0\)"):
        broker.start()
    assert contents(broker.data_dir) == before
    assert not etcd.control("get", "--prefix", ""), "nothing was founded"


def registration(etcd: Etcd) -> tuple[int, dict[str, object]]:
    """The broker's epoch and what it says of itself."""
    said = json.loads(etcd.control("get", "/headrace/tested/brokers/1", "-w=json"))["kvs"][0]
    return said["create_revision"], json.loads(base64.b64decode(said["value"]))


def test_a_clean_stop_is_continued_and_a_crash_is_not(etcd: Etcd, make_broker: MakeBroker) -> None:
    broker = make_broker(etcd)
    broker.start()
    epoch, value = registration(etcd)
    assert "continues" not in value
    broker.stop()
    broker.start()
    after, value = registration(etcd)
    assert after > epoch and value["continues"] == epoch
    broker.kill()
    broker.start()
    last, value = registration(etcd)
    assert last > after and "continues" not in value


def test_all_leases_ending_at_once_moves_no_data(etcd: Etcd, make_broker: MakeBroker) -> None:
    broker = make_broker(etcd)
    broker.start()
    create_topic(broker, "t", config={"retention.ms": "123456789"})
    produce(broker, "t", RECORDS)
    pid, (epoch, _) = broker.pid, registration(etcd)
    for lease in etcd.control("lease", "list").split()[3:]:
        etcd.control("lease", "revoke", lease)
    until(lambda: registration_is_newer(etcd, epoch), "the broker registers anew")
    assert registration(etcd)[1]["continues"] == epoch
    produce(broker, "t", RECORDS)
    assert read_to_end(broker, "t") == RECORDS + RECORDS
    create_topic(broker, "more")
    assert broker.pid == pid
    broker.stop()
    assert leader_epoch(broker, "t") == 0, "nobody was elected"


def registration_is_newer(etcd: Etcd, epoch: int) -> bool:
    try:
        return registration(etcd)[0] > epoch
    except KeyError:
        return False


def test_an_etcd_emptied_under_a_broker_stops_it_and_costs_no_record(
    etcd: Etcd, make_broker: MakeBroker
) -> None:
    broker = make_broker(etcd)
    broker.start()
    create_topic(broker, "kept")
    produce(broker, "kept", RECORDS)
    before = {name: data for name, data in contents(broker.data_dir).items() if ".log" in name}
    assert before
    etcd.control("del", "--prefix", "/headrace/tested/")
    process = broker.process
    assert process is not None
    assert process.wait(30) == 1
    assert "no longer holds the cluster" in broker.output()
    after = contents(broker.data_dir)
    assert {name: after.get(name) for name in before} == before
    assert not etcd.control("get", "--prefix", "/headrace/tested/"), "nothing was founded"
