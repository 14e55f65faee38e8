"""What README's part "On Kubernetes" says, typed word for word, up to the first records."""

import time
from datetime import datetime

from e2e.kubernetes import readme
from e2e.kubernetes.demo import CLUSTER, LINES, condition
from e2e.kubernetes.images import DEFAULT_PREFIX
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World

INSTALL, FROM_A_POD, FROM_OUTSIDE = readme.blocks()[:3]
LEASES = ("leases", "-n", "headrace-system")


def _installed(world: World) -> str:
    """`helm install --wait`: back only once both replicas are Ready, the standby too."""
    started = time.monotonic()
    world.shell(" ".join([INSTALL[0], *images_set(world)]), timeout_s=170)
    ready_s = time.monotonic() - started
    [lease] = world.get(*LEASES)["items"]
    holder = lease["spec"].get("holderIdentity") or "nobody yet"
    return f"both Ready after {ready_s:.1f} s, {holder} acts"


def _applied(world: World) -> str:
    """From `kubectl apply` to Ready, by the API server's clock and by ours."""
    started = time.monotonic()
    world.shell(*INSTALL[1:], timeout_s=310)
    all_s = time.monotonic() - started
    cluster = world.get(f"kcl/{CLUSTER}")
    ready = _moment(condition(cluster, "Ready")["lastTransitionTime"])
    took = (ready - _moment(cluster["metadata"]["creationTimestamp"])).total_seconds()
    brokers = cluster["status"]["readyBrokers"]
    return (
        f"a Cluster of {brokers} brokers Ready {took:.0f} s after it was created, all three kinds"
        f" {all_s:.1f} s after `kubectl apply` began"
    )


def _from_a_pod(world: World) -> str:
    """Real text through kcat; a topic of several partitions gives it back in another order."""
    got = world.shell(*FROM_A_POD, timeout_s=110).splitlines()
    came = sorted(line for line in got if not line.startswith("pod/kcat "))
    if came != sorted(LINES):
        raise AssertionError(f"{len(came)} lines came back of {len(LINES)}: {came[:5]}")
    return f"{len(came)} lines written and read"


def _from_outside(world: World) -> str:
    got = world.shell(*FROM_OUTSIDE).splitlines()
    came = sorted(line for line in got if line)
    if came != sorted(LINES):
        raise AssertionError(f"{len(came)} lines came back of {len(LINES)}: {came[:5]}")
    return f"{len(came)} lines read"


STEPS = [
    Step(name="helm install --wait: two operators, one acts", does=_installed, limit_s=180),
    Step(name="the examples are applied and Ready", does=_applied, limit_s=320),
    Step(name="kcat in a pod writes and reads", does=_from_a_pod, limit_s=120),
    Step(name="headrace reads from outside, through the node port", does=_from_outside, limit_s=60),
]


def images_set(world: World) -> list[str]:
    """Nothing where the chart's own image names are the ones that the nodes have."""
    if world.images.prefix == DEFAULT_PREFIX:
        return []
    operator, _, tag = world.images.operator.rpartition(":")
    values = {
        "image.repository": operator,
        "image.tag": tag,
        "brokerImage": world.images.broker,
        "etcdImage": world.images.etcd,
    }
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
