"""A Cluster that is guarded: its etcd loses members and is brought back by examples/restore.md, a
load balancer's address comes late, and deleting it is refused."""

import json
import re
import tempfile
import time
from collections.abc import Iterator

from e2e.kubernetes.demo import condition, patch, refused, says, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps import small
from e2e.kubernetes.world import World, until
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

CLUSTER, NAMESPACE = "prod", "kafka"
"""As in examples/restore.md, whose commands are typed here."""
TOPIC = "kept"
ADDRESS = "203.0.113.9"
"""Of RFC 5737: nothing is reached there; what counts is that clients are told."""
LISTENERS = [
    {"name": "internal", "type": "Internal", "port": 9092},
    {"name": "out", "type": "NodePort", "port": 9094},
    {"name": "lb", "type": "LoadBalancer", "port": 9095},
]


def _made(world: World) -> str:
    etcd = {"managed": {"members": 3, "storage": {"size": "400Mi"}}}
    wanted = small.cluster(CLUSTER, NAMESPACE, etcd=etcd, listeners=LISTENERS)
    world.apply(small.namespace(NAMESPACE), wanted)
    found = settled(world, f"kcl/{CLUSTER}", namespace=NAMESPACE, timeout_s=90)
    pending = condition(found, "AddressesKnown")
    if (pending["status"], pending["reason"]) != ("False", "LoadBalancerPending"):
        raise AssertionError(f"of the load balancer that is not there it says {pending}")
    return f'Ready; "{pending["message"]}"'


def _member_lost(world: World) -> str:
    """One of three members loses its volume: another takes its place."""
    started = time.monotonic()
    _lose(world, 1)
    said = says(
        world, f"kcl/{CLUSTER}", "EtcdMemberReplaced", kind="Reconciling", namespace=NAMESPACE
    )
    _whole(world)
    return f'"{said}"; whole {time.monotonic() - started:.1f} s after the volume was deleted'


def _restored(world: World) -> str:
    """Two of three are lost: nothing is begun anew, and a snapshot brings the metadata back."""
    before = small.pod_uids(world, NAMESPACE)
    _produce(world, "before")
    save, *restore = list(_blocks())
    with tempfile.TemporaryDirectory() as folder:
        world.shell(f"cd {folder}", save)
        _produce(world, "after")
        _lose(world, 0, 2)
        said = says(world, f"kcl/{CLUSTER}", "EtcdLost", kind="Stalled", namespace=NAMESPACE)
        if _consume(world) != ["before", "after"]:
            raise AssertionError("without etcd the records cannot be read")
        started = time.monotonic()
        world.shell(f"cd {folder}", *restore, timeout_s=240)
    _whole(world)
    took_s = time.monotonic() - started
    if _consume(world) != ["before", "after"] or small.pod_uids(world, NAMESPACE) != before:
        raise AssertionError("a record is lost, or a broker was restarted")
    return f'"{said}"; restored in {took_s:.1f} s, every record is there, no broker restarted'


def _balanced(world: World) -> str:
    """A load balancer gives its address late, and clients are told without a restart."""
    before = small.pod_uids(world, NAMESPACE)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}}
    for service in ("prod-lb-0", "prod-lb-bootstrap"):
        world.kubectl(
            *("patch", f"service/{service}", "-n", NAMESPACE, "--subresource=status"),
            *("--type=merge", "-p", json.dumps(status)),
        )
    started = time.monotonic()
    until(lambda: f"{ADDRESS}:9095" in _told(world), what="clients are told", timeout_s=30)
    took_s = time.monotonic() - started
    says(world, f"kcl/{CLUSTER}", "AllKnown", kind="AddressesKnown", namespace=NAMESPACE)
    if small.pod_uids(world, NAMESPACE) != before:
        raise AssertionError("a broker was restarted")
    return f"clients of that listener are told {ADDRESS} after {took_s:.1f} s, no pod restarted"


def _protected(world: World) -> str:
    """Deleting it, its namespace or the definitions is refused; the namespace goes after."""
    patch(world, f"kcl/{CLUSTER}", {"deletionProtection": True}, namespace=NAMESPACE)
    until(lambda: _marks(world) == 3, what="the definitions name it", timeout_s=15)
    sentences = {
        f"kcl/{CLUSTER}": f"Cluster {CLUSTER} is protected",
        f"namespace/{NAMESPACE}": f"Cluster {CLUSTER} in this namespace is protected",
        "crd/clusters.headrace.io": f"protected Clusters exist ({NAMESPACE}/{CLUSTER})",
        "crd/topics.headrace.io": f"protected Clusters exist ({NAMESPACE}/{CLUSTER})",
    }
    for what, sentence in sentences.items():
        tried = ("delete", what, "--wait=false", "-n", NAMESPACE)
        said = refused(lambda tried=tried: world.kubectl(*tried))
        if sentence not in said:
            raise AssertionError(f"deleting {what} says {said}")
    patch(world, f"kcl/{CLUSTER}", {"deletionProtection": False}, namespace=NAMESPACE)
    until(lambda: _marks(world) == 0, what="the definitions name it no more", timeout_s=15)
    world.kubectl("delete", f"namespace/{NAMESPACE}", "--wait=true", timeout_s=90)
    return f"{len(sentences)} deletions were refused with a sentence; then the namespace went"


STEPS = [
    Step(name="a Cluster with three etcd members", does=_made, limit_s=120),
    Step(name="an etcd member is lost", does=_member_lost, limit_s=120),
    Step(name="etcd is lost and restored from a snapshot", does=_restored, limit_s=300),
    Step(name="a load balancer's address comes late", does=_balanced, limit_s=60),
    Step(name="what is protected is not deleted", does=_protected, limit_s=150),
]


def _lose(world: World, *indexes: int) -> None:
    """Volumes of etcd's members, with the pods that mount them."""
    names = [f"prod-etcd-{index}" for index in indexes]
    world.kubectl("delete", "pvc", *names, "-n", NAMESPACE, "--wait=false")
    pods = [f"{name}-0" for name in names]
    world.kubectl("delete", "pod", *pods, "-n", NAMESPACE, "--wait=false")


def _whole(world: World) -> None:
    def whole() -> bool:
        found = settled(world, f"kcl/{CLUSTER}", namespace=NAMESPACE, timeout_s=90)
        return condition(found, "EtcdHealthy").get("status") == "True"

    until(whole, what="etcd is whole", timeout_s=90)


def _told(world: World) -> str:
    """What a client of the load balancer's listener is told; empty while it is told nothing."""
    try:
        return world.kubectl(
            "exec", "kcat", "--", "kcat", "-b", f"prod-lb-0.{NAMESPACE}:9095", "-L"
        )
    except RigFailed:
        return ""


def _marks(world: World) -> int:
    """Definitions that name a protected Cluster."""
    found = world.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.annotations}")
    return found.count('"headrace.io/protected-clusters"')


def _blocks() -> Iterator[str]:
    """The console blocks of examples/restore.md, as scripts."""
    text = (ROOT / "examples" / "restore.md").read_text()
    for block in re.findall(r"^ *```console\n(.*?)```", text, re.DOTALL | re.MULTILINE):
        yield "\n".join(line.strip().removeprefix("$ ") for line in block.splitlines())


def _bootstrap(world: World) -> str:
    service = world.get("service/prod-out-bootstrap", "-n", NAMESPACE)
    return f"{world.node_address()}:{service['spec']['ports'][0]['nodePort']}"


def _produce(world: World, line: str) -> None:
    world.headrace(_bootstrap(world), "produce", TOPIC, text=f"{line}\n")


def _consume(world: World) -> list[str]:
    flags = ("--from-beginning", "--no-follow", "--partition", "0")
    return world.headrace(_bootstrap(world), "consume", TOPIC, *flags).splitlines()
