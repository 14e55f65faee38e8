"""One broker by hand, without the operator: what the image, the network and the volumes can do.

When a later step fails, these tell whether the operator or what it builds on is to blame.
"""

import time
from typing import Any

from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World, until
from e2e.rig.paths import ROOT

NAMESPACE = "plain-broker"
NODE_PORT = 30092
TOPIC = "licence"
SMALL, LARGE = "400Mi", "700Mi"
TEXT = (ROOT / "LICENSE").read_text()
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _start(world: World) -> str:
    """The API server enforces restricted pod security, so the image must do with it."""
    address = world.node_address()
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        _named("ConfigMap", "broker", data={"broker.properties": _properties(address)}),
        _named("Service", "broker", spec=_service()),
        _named("PersistentVolumeClaim", "data", spec=_claim()),
        _stateful_set(world),
        _client(world),
    )
    started = time.monotonic()
    for pod in ("broker-0", "client"):
        _wait_ready(world, pod, 60)
    return f"both pods Ready {time.monotonic() - started:.1f} s after they were applied"


def _from_a_pod(world: World) -> str:
    """Real text through kcat, in a pod, byte for byte."""
    broker = f"broker.{NAMESPACE}.svc:9092"
    sent = TEXT.splitlines()
    _in_client(world, f"cat > /tmp/text && kcat -b {broker} -P -t {TOPIC} -l /tmp/text", TEXT)
    got = _in_client(world, f"kcat -b {broker} -C -t {TOPIC} -e -q").splitlines()
    # kcat sends no empty records, so empty lines do not arrive.
    if got != [line for line in sent if line]:
        raise AssertionError(f"{len(got)} lines came back, {len(sent)} were sent")
    return f"{len(got)} lines"


def _from_outside(world: World) -> str:
    """The same text by our own command, through the node port."""
    got = _consumed(world)
    if got != [line for line in TEXT.splitlines() if line]:
        raise AssertionError(f"{len(got)} lines came back")
    world.headrace(_outside(world), "produce", "outside", text=TEXT)
    back = world.headrace(_outside(world), "consume", "outside", "--from-beginning", "--no-follow")
    if back != TEXT:
        raise AssertionError(f"{len(back)} characters came back of {len(TEXT)}")
    return f"{len(got)} lines read, {len(TEXT)} characters written and read"


def _pod_deleted(world: World) -> str:
    before = _consumed(world)
    started = time.monotonic()
    world.kubectl("delete", "pod", "-n", NAMESPACE, "broker-0", "--wait=true")
    until(lambda: _exists(world, "broker-0"), what="a new pod", timeout_s=30)
    _wait_ready(world, "broker-0", 60)
    took_s = time.monotonic() - started
    if _consumed(world) != before:
        raise AssertionError("the records are not the same after the restart")
    return f"ready again after {took_s:.1f} s with the same {len(before)} records"


def _volume_grown(world: World) -> str:
    """Grows the claim under the running broker; the file system in the pod must follow."""
    before = _space_bytes(world)
    patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{LARGE}"}}}}}}}}'
    world.kubectl("patch", "pvc", "-n", NAMESPACE, "data", "-p", patch)
    after = until(
        lambda: (now := _space_bytes(world)) > before and now,
        what="more room in the pod",
        timeout_s=30,
    )
    claim = until(
        lambda: (
            (c := world.get("pvc", "-n", NAMESPACE, "data"))["status"]["capacity"]["storage"]
            == LARGE
            and c
        ),
        what=f"a capacity of {LARGE} in the claim's status",
        timeout_s=30,
    )
    stated = claim["status"]["capacity"]["storage"]
    return f"{before >> 20} MiB became {after >> 20} MiB while in use, status says {stated}"


def _gone(world: World) -> str:
    volumes = {claim["spec"]["volumeName"] for claim in world.get("pvc", "-n", NAMESPACE)["items"]}
    world.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout_s=90)
    until(
        lambda: not volumes & {one["metadata"]["name"] for one in world.get("pv")["items"]},
        what="the volume is removed",
        timeout_s=30,
    )
    return "namespace, pods and volume are gone"


STEPS = [
    Step(name="a broker by hand, restricted and read-only", does=_start, limit_s=90),
    Step(name="text from a pod and back with kcat", does=_from_a_pod, limit_s=60),
    Step(name="text from outside through a node port", does=_from_outside, limit_s=60),
    Step(name="its pod is deleted", does=_pod_deleted, limit_s=120),
    Step(name="its volume grows", does=_volume_grown, limit_s=90),
    Step(name="the broker by hand goes", does=_gone, limit_s=150),
]


def _named(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def _properties(address: str) -> str:
    # One address for all: pods too reach a node port at the node's address.
    return "\n".join(
        [
            "node.id=1",
            "log.dirs=/var/lib/headrace/data",
            "listeners=PLAINTEXT://0.0.0.0:9092",
            f"advertised.listeners=PLAINTEXT://{address}:{NODE_PORT}",
            "http.host=0.0.0.0",
            "http.port=9404",
        ]
    )


def _service() -> dict[str, Any]:
    port = {"name": "kafka", "port": 9092, "nodePort": NODE_PORT}
    return {"type": "NodePort", "selector": {"app": "broker"}, "ports": [port]}


def _claim() -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SMALL}}}


def _stateful_set(world: World) -> dict[str, Any]:
    container = {
        "name": "broker",
        "image": world.images.broker,
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9404}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9404}, "periodSeconds": 5},
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/headrace"},
            {"name": "settings", "mountPath": "/etc/headrace"},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "settings", "configMap": {"name": "broker"}},
        ],
    }
    labels = {"app": "broker"}
    spec = {
        "serviceName": "broker",
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _named("StatefulSet", "broker", spec=spec) | {"apiVersion": "apps/v1"}


def _client(world: World) -> dict[str, Any]:
    container = {
        "name": "client",
        "image": world.images.client,
        "command": ["sleep", "infinity"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return _named("Pod", "client", spec=spec)


def _in_client(world: World, script: str, text: str = "") -> str:
    flags = ["-n", NAMESPACE, "client", *(["--stdin"] if text else [])]
    return world.kubectl("exec", *flags, "--", "sh", "-c", script, text=text)


def _outside(world: World) -> str:
    return f"{world.node_address()}:{NODE_PORT}"


def _consumed(world: World) -> list[str]:
    flags = ["--from-beginning", "--no-follow"]
    return world.headrace(_outside(world), "consume", TOPIC, *flags).splitlines()


def _wait_ready(world: World, pod: str, timeout_s: int) -> None:
    wait = ["wait", "-n", NAMESPACE, "--for=condition=Ready", f"pod/{pod}"]
    until(lambda: _exists(world, pod), what=f"pod {pod}", timeout_s=timeout_s)
    world.kubectl(*wait, f"--timeout={timeout_s}s", timeout_s=timeout_s + 10)


def _exists(world: World, pod: str) -> bool:
    found = world.get("pods", "-n", NAMESPACE)["items"]
    return any(
        one["metadata"]["name"] == pod and "deletionTimestamp" not in one["metadata"]
        for one in found
    )


def _space_bytes(world: World) -> int:
    """The size of the broker's data folder as the broker's own process sees it."""
    look = "import os; s = os.statvfs('/var/lib/headrace'); print(s.f_blocks * s.f_frsize)"
    return int(world.kubectl("exec", "-n", NAMESPACE, "broker-0", "--", "python3", "-c", look))
