"""What is wrong with a Cluster is said in a sentence, and once mended it goes on by itself."""

import time
from typing import Any

from e2e.kubernetes.demo import patch, says, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps import small
from e2e.kubernetes.world import World

NAMESPACE = "bad-input"
CLASS = "made-late"
NOWHERE = "localhost:1/headrace/broker:none"


def _volume_and_image(world: World) -> str:
    """A StorageClass that is not there, then an image that cannot be pulled."""
    pool = {"name": "a", "replicas": 1, "storage": {"size": "400Mi", "className": CLASS}}
    bad = small.cluster("bad", NAMESPACE, pools=[pool], image=NOWHERE)
    world.apply(small.namespace(NAMESPACE), bad)
    no_class = _stalled(world, "bad", "StorageClassNotFound")
    world.apply(_storage_class(world))
    no_image = _stalled(world, "bad", "ImagePullBackOff")
    started = time.monotonic()
    patch(world, "kcl/bad", {"image": None}, namespace=NAMESPACE)
    settled(world, "kcl/bad", namespace=NAMESPACE, timeout_s=60)
    return f'"{no_class}"; "{no_image}"; Ready {time.monotonic() - started:.1f} s after the cure'


def _setting(world: World) -> str:
    """A setting that does not exist, and one that is no number: before any pod restarts."""
    before = small.pod_uids(world, NAMESPACE)
    said = []
    for config in ({"no.such.setting": "1"}, {"num.partitions": "many"}):
        patch(world, "kcl/bad", {"config": None}, namespace=NAMESPACE)
        settled(world, "kcl/bad", namespace=NAMESPACE)
        patch(world, "kcl/bad", {"config": config}, namespace=NAMESPACE)
        said.append(_stalled(world, "bad", "InvalidConfig"))
    patch(world, "kcl/bad", {"config": None}, namespace=NAMESPACE)
    settled(world, "kcl/bad", namespace=NAMESPACE)
    if small.pod_uids(world, NAMESPACE) != before:
        raise AssertionError("a pod was restarted")
    return "; ".join(f'"{one}"' for one in said) + "; no pod restarted"


def _secret(world: World) -> str:
    """A Cluster applied before the Secret of its etcd, which is the one of the other Cluster."""
    etcd = {
        "external": {
            "endpoints": [f"bad-etcd-0-0.bad-etcd.{NAMESPACE}.svc:2379"],
            "secret": "made-late",
        }
    }
    world.apply(small.cluster("later", NAMESPACE, etcd=etcd))
    said = _stalled(world, "later", "SecretNotFound")
    secret = world.get("secret/bad-etcd-client", "-n", NAMESPACE)
    started = time.monotonic()
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "made-late", "namespace": NAMESPACE},
            "data": secret["data"],
        }
    )
    settled(world, "kcl/later", namespace=NAMESPACE, timeout_s=60)
    took_s = time.monotonic() - started
    world.kubectl("delete", "kcl/later", "-n", NAMESPACE, "--wait=true")
    return f'"{said}"; Ready {took_s:.1f} s after the Secret was made'


def _gone(world: World) -> str:
    world.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout_s=90)
    world.kubectl("delete", f"storageclass/{CLASS}")
    return "the namespace is gone with all in it"


STEPS = [
    Step(name="no such StorageClass, no such image", does=_volume_and_image, limit_s=180),
    Step(name="no such setting, no number", does=_setting, limit_s=120),
    Step(name="a Cluster before its Secret", does=_secret, limit_s=120),
    Step(name="the bad ones go", does=_gone, limit_s=120),
]


def _stalled(world: World, cluster: str, reason: str) -> str:
    return says(world, f"kcl/{cluster}", reason, kind="Stalled", namespace=NAMESPACE)


def _storage_class(world: World) -> dict[str, Any]:
    """The default StorageClass under another name."""
    marked = "storageclass.kubernetes.io/is-default-class"
    default = next(
        one
        for one in world.get("storageclasses")["items"]
        if one["metadata"].get("annotations", {}).get(marked) == "true"
    )
    return {**default, "metadata": {"name": CLASS}}
