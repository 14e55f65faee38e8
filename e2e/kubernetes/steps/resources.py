"""A Quota slows a client; a Topic is changed, wrongly too; a broker is added."""

import time

from e2e.kubernetes import demo
from e2e.kubernetes.demo import CLUSTER, TOPIC, patch, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World

MIB = 2**20
LIMIT_MIB = 1
SENT_MIB = 10
ALLOWED = 1.15
"""Of the limit: it is kept within 5 % over 30 s, and half a second's worth may come at once."""


def _slowed(world: World) -> str:
    """10 MiB to one partition by a client with a Quota, and by one without."""
    world.apply(_topic("flood", partitions=1, deletionPolicy="Delete"))
    settled(world, "ktp/flood")
    slow_s = _flood(world, "loader")
    fast_s = _flood(world, "other")
    if SENT_MIB / slow_s > LIMIT_MIB * ALLOWED:
        raise AssertionError(f"{SENT_MIB} MiB took {slow_s:.1f} s: more than {LIMIT_MIB} MiB/s")
    if fast_s * 3 > slow_s:
        raise AssertionError(f"without a Quota it took {fast_s:.1f} s, with it {slow_s:.1f} s")
    patch(world, "kq/loader", {"limits": {"producerByteRate": "4Mi"}})
    settled(world, "kq/loader")
    more_s = _flood(world, "loader")
    if more_s * 2 > slow_s:
        raise AssertionError(f"with four times the rate it took {more_s:.1f} s after {slow_s:.1f}")
    world.kubectl("delete", "ktp/flood", "--wait=true")
    return (
        f"{SENT_MIB} MiB took {slow_s:.1f} s with 1 MiB/s, {more_s:.1f} s with 4 MiB/s,"
        f" {fast_s:.1f} s by a client without a Quota"
    )


def _topic_changed(world: World) -> str:
    before = demo.records(world)
    started = time.monotonic()
    patch(world, f"ktp/{TOPIC}", {"partitions": 9, "config": {"retention.ms": "3600000"}})
    settled(world, f"ktp/{TOPIC}")
    took_s = time.monotonic() - started
    now = demo.topic(world)
    if len(now["partitions"]) != 9 or now["settings"] != {"retention.ms": "3600000"}:
        raise AssertionError(f"the brokers say {now}")
    patch(world, f"ktp/{TOPIC}", {"config": {"retention.ms": None}})
    settled(world, f"ktp/{TOPIC}")
    if demo.topic(world)["settings"] != {}:
        raise AssertionError(f"a setting that was taken out is still {demo.topic(world)}")
    if demo.records(world) != before:
        raise AssertionError("the records are not the same")
    return f"9 partitions and a setting after {took_s:.1f} s; the setting is reset when taken out"


def _topic_mended(world: World) -> str:
    """What cannot be done is said in a sentence, and no more than that is done."""
    patch(world, f"ktp/{TOPIC}", {"config": {"retention.ms": "soon"}})
    config = demo.says(world, f"ktp/{TOPIC}", "InvalidConfig", kind="Stalled")
    patch(world, f"ktp/{TOPIC}", {"partitions": 3, "config": {"retention.ms": None}})
    fewer = demo.says(world, f"ktp/{TOPIC}", "PartitionsCannotDecrease", kind="Stalled")
    patch(world, f"ktp/{TOPIC}", {"partitions": 9})
    settled(world, f"ktp/{TOPIC}")
    return f'"{config}"; "{fewer}"; Ready again once both are mended'


def _broker_added(world: World) -> str:
    """The fourth broker; a topic made after it has partitions there."""
    replicas = world.get(f"kcl/{CLUSTER}")["spec"]["pools"][0]["replicas"]
    before = demo.leaders(world, TOPIC)
    started = time.monotonic()
    demo.patch_pool(world, CLUSTER, replicas=replicas + 1)
    cluster = settled(world, f"kcl/{CLUSTER}", timeout_s=100)
    took_s = time.monotonic() - started
    if cluster["status"]["readyBrokers"] != replicas + 1:
        raise AssertionError(f"{cluster['status']['readyBrokers']} brokers are ready")
    world.apply(_topic("later", partitions=2 * (replicas + 1)))
    settled(world, "ktp/later")
    later = demo.leaders(world, "later")
    counts = {n: list(later.values()).count(n) for n in sorted(set(later.values()))}
    if counts != dict.fromkeys(range(replicas + 1), 2):
        raise AssertionError(f"partitions of the new topic by broker: {counts}")
    if demo.leaders(world, TOPIC) != before:
        raise AssertionError("partitions of the topic that was there moved")
    return f"Ready after {took_s:.1f} s; a new topic has two partitions on each of {len(counts)}"


STEPS = [
    Step(name="a Quota slows a client", does=_slowed, limit_s=120),
    Step(name="a Topic's partitions and config change", does=_topic_changed, limit_s=90),
    Step(name="a Topic with a wrong setting says so", does=_topic_mended, limit_s=90),
]
ADDED = [Step(name="a broker is added, new topics use it", does=_broker_added, limit_s=150)]


def _flood(world: World, client_id: str) -> float:
    """Seconds that kcat in its pod takes for 1 KiB records of SENT_MIB in all."""
    make = f"head -c {SENT_MIB * MIB} /dev/zero | tr '\\0' x | fold -w 1023 > /tmp/flood"
    world.kubectl("exec", "kcat", "--", "sh", "-c", make)
    send = ["kcat", "-b", "demo-bootstrap:9092", "-P", "-t", "flood", "-p", "0"]
    started = time.monotonic()
    world.kubectl("exec", "kcat", "--", *send, "-X", f"client.id={client_id}", "-l", "/tmp/flood")
    return time.monotonic() - started


def _topic(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Topic",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterRef": {"name": CLUSTER}, **spec},
    }
