"""A cluster's bad days: its controller killed or frozen, a broker gone, etcd away, leases over.

One cluster serves all tests; each mends it first, as its operator would.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from headrace.base.errors import Code
from headrace.base.image import PartitionState
from headrace.meta.keys import Keys, TopicValue, encode_partition, encode_topic

from e2e.rig.etcd import Etcd
from tests.integration.clients import offsets, pairs, produce, read_to_end, until
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.cluster import (
    NODES,
    ROOT,
    Cluster,
    alive,
    create,
    leaders,
)
from tests.integration.etcd.test_broker import SESSION_MS

RECORDS = pairs("none", 20)
EVERYWHERE = ([1], [2], [3])
AGAIN = (Code.REQUEST_TIMED_OUT, Code.NOT_CONTROLLER)
"""What a change is answered with that could not be made now."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("faults")
    with Etcd(folder / "etcd") as etcd:
        made = Cluster(etcd, folder)
        try:
            made.mend()
            assert create(made.brokers[1], "kept", -1, *EVERYWHERE) is Code.NONE
            yield made
        finally:
            made.kill()
    for broker in made.brokers.values():
        assert_no_bug(broker.output())


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """Whole, and whatever a test froze goes on."""
    shared.mend()
    yield shared
    for broker in shared.brokers.values():
        if broker.process is not None and broker.process.poll() is None:
            os.kill(broker.pid, signal.SIGCONT)
    shared.etcd.resume()


def write_everywhere(cluster: Cluster, topic: str = "kept") -> None:
    """The records to each partition, through all brokers that run."""
    for node in range(len(EVERYWHERE)):
        produce(cluster.brokers[NODES[node]], topic, RECORDS, partition=node)


def counts(cluster: Cluster, topic: str = "kept") -> list[int]:
    return [len(read_to_end(cluster.brokers[1], topic, node)) for node in range(3)]


def pids(cluster: Cluster) -> list[int]:
    return [broker.pid for broker in cluster.brokers.values()]


def test_a_killed_controller_is_replaced_within_its_lease(cluster: Cluster) -> None:
    """And who asks for a change meanwhile only waits."""
    write_everywhere(cluster)
    before = counts(cluster)
    dead = cluster.controller()
    left = [broker for node, broker in cluster.brokers.items() if node != dead]
    cluster.brokers[dead].kill()
    began = time.monotonic()
    names = {broker.node: f"taken-over-{uuid4().hex[:6]}" for broker in left}
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda b: create(b, names[b.node], 4), left))
    took_s = time.monotonic() - began
    assert made == [Code.NONE, Code.NONE]
    assert took_s < SESSION_MS / 1000 + 6, "etcd looks after leases each second or so"
    assert cluster.controller() in {broker.node for broker in left}
    for broker in left:
        assert set(leaders(broker, names[broker.node]).values()) == {b.node for b in left}
        assert alive(broker) == {b.node for b in left}
        assert leaders(broker, "kept")[dead - 1] == -1, "nobody leads what it led"
    cluster.mend()
    assert counts(cluster) == before
    assert leaders(cluster.brokers[dead], "kept") == {0: 1, 1: 2, 2: 3}


def test_a_frozen_controller_that_comes_back_changes_nothing(cluster: Cluster) -> None:
    """It believes to be controller until it hears the news; its writes meet a guard."""
    frozen = cluster.controller()
    others = [broker for node, broker in cluster.brokers.items() if node != frozen]
    os.kill(cluster.brokers[frozen].pid, signal.SIGSTOP)
    until(lambda: cluster.controller() not in (0, frozen), "another takes over")
    name = f"frozen-{uuid4().hex[:6]}"
    assert until(lambda: create(others[0], name) is Code.NONE, "a topic is made")
    os.kill(cluster.brokers[frozen].pid, signal.SIGCONT)
    assert create(cluster.brokers[frozen], name) is Code.TOPIC_ALREADY_EXISTS
    assert create(cluster.brokers[frozen], f"{name}-2", 3) is Code.NONE
    cluster.mend()
    assert len(leaders(others[1], f"{name}-2")) == 3


def test_a_clean_stop_hands_the_role_on_and_costs_nothing(cluster: Cluster) -> None:
    write_everywhere(cluster)
    before, epochs = counts(cluster), leaders(cluster.brokers[1], "kept", epochs=True)
    stopped = cluster.controller()
    other = cluster.other()
    cluster.brokers[stopped].stop()
    until(lambda: cluster.controller() not in (0, stopped), "another takes over")
    assert stopped not in cluster.registered()
    assert create(other, f"meanwhile-{uuid4().hex[:6]}") is Code.NONE
    assert leaders(other, "kept")[stopped - 1] == -1
    cluster.mend()
    assert counts(cluster) == before
    assert leaders(cluster.brokers[stopped], "kept", epochs=True) == epochs


@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_without_etcd_records_and_commits_go_on(cluster: Cluster, how: str) -> None:
    write_everywhere(cluster)
    before, running = counts(cluster), pids(cluster)
    name = f"late-{how}"
    commit(cluster, 5)
    cluster.etcd.pause() if how == "frozen" else cluster.etcd.stop()
    try:
        write_everywhere(cluster)
        assert counts(cluster) == [count + len(RECORDS) for count in before]
        commit(cluster, 7)
        with ThreadPoolExecutor(3) as pool:
            refused = set(pool.map(lambda b: create(b, name), cluster.brokers.values()))
        assert refused <= set(AGAIN)
        assert {broker.page("/readyz")[0] for broker in cluster.brokers.values()} == {200}
    finally:
        cluster.etcd.resume() if how == "frozen" else cluster.etcd.start()
    until(lambda: cluster.registered() == set(NODES), "all are registered")
    until(lambda: create(cluster.other(), name) in (Code.NONE, Code.TOPIC_ALREADY_EXISTS), name)
    cluster.mend()
    write_everywhere(cluster)
    assert counts(cluster) == [count + 2 * len(RECORDS) for count in before]
    assert committed(cluster) == [7, 7, 7]
    assert pids(cluster) == running, "nobody was restarted"


def commit(cluster: Cluster, offset: int) -> None:
    """For a group whose coordinator is where it is, all partitions."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "away"})
    try:
        at = [TopicPartition("kept", n, offset) for n in range(3)]
        consumer.commit(offsets=at, asynchronous=False)
    finally:
        consumer.close()


def committed(cluster: Cluster) -> list[int]:
    return offsets(cluster.brokers[2], "away", [TopicPartition("kept", n) for n in range(3)])


def revoke_all(etcd: Etcd) -> None:
    for lease in etcd.control("lease", "list").split()[3:]:
        etcd.control("lease", "revoke", lease)


def test_all_leases_ending_at_once_moves_no_data(cluster: Cluster) -> None:
    write_everywhere(cluster)
    before, running = counts(cluster), pids(cluster)
    led = leaders(cluster.brokers[1], "kept"), leaders(cluster.brokers[1], "kept", epochs=True)
    partitions = cluster.etcd.control("get", "--prefix", f"{ROOT}partitions/")
    controller = cluster.etcd.control("get", f"{ROOT}controller", "-w=json")
    revoke_all(cluster.etcd)
    write_everywhere(cluster)
    until(lambda: cluster.registered() == set(NODES), "all register anew")
    cluster.mend()
    assert cluster.etcd.control("get", f"{ROOT}controller", "-w=json") != controller
    assert cluster.etcd.control("get", "--prefix", f"{ROOT}partitions/") == partitions
    for broker in cluster.brokers.values():
        until(lambda broker=broker: leaders(broker, "kept") == led[0], "it names the leaders")
        assert leaders(broker, "kept", epochs=True) == led[1]
        assert create(broker, f"revoked-{uuid4().hex[:6]}", 3) is Code.NONE
    assert counts(cluster) == [count + len(RECORDS) for count in before]
    assert pids(cluster) == running


def test_what_a_controller_left_half_done_is_swept_by_the_next(cluster: Cluster) -> None:
    keys, orphan, gone = Keys(ROOT), uuid4(), uuid4()
    state = encode_partition(PartitionState(replicas=(1,), isr=(1,), leader=1)).decode()
    mark = TopicValue(name="gone", topic_id=gone, partition_count=2, settings={})
    left = [keys.partition(orphan, n) for n in range(3)] + [keys.partition(gone, 1)]
    for key in left:
        cluster.etcd.control("put", key, state)
    cluster.etcd.control("put", keys.deleting(gone), encode_topic(mark).decode())
    before = cluster.controller()
    cluster.brokers[before].kill()
    until(lambda: cluster.controller() not in (0, before), "another takes over")

    def swept() -> bool:
        return not any(cluster.etcd.control("get", "--keys-only", key) for key in left)

    until(swept, "it removes what no topic counts")
    until(lambda: not cluster.etcd.control("get", keys.deleting(gone)), "and finishes deletions")
    cluster.mend()
    assert leaders(cluster.brokers[before], "kept") == {0: 1, 1: 2, 2: 3}
