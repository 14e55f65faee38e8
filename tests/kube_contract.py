"""What the operator's reconcilers rely on from an API server: `MemoryKube` and the real one pass.

Each function takes a Kube-like object and a Topic that it may change and delete.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from headrace_operator.errors import Conflict, NotFound
from headrace_operator.kinds import TOPIC, Object, key_of

STATUS: Final[Object] = {"observedGeneration": 1, "managedConfig": [], "conditions": []}


async def _refused(request: Awaitable[Any], error: type[Exception]) -> None:
    try:
        await request
    except error:
        return
    raise AssertionError(f"not refused with {error.__name__}")


async def a_status_is_guarded_and_leaves_the_generation(kube: Any, topic: Object) -> None:
    old = topic["metadata"]
    key = key_of(TOPIC, topic)
    told = await kube.patch_status(key, STATUS, resource_version=old["resourceVersion"])
    assert told["metadata"]["generation"] == old["generation"]
    assert told["metadata"]["resourceVersion"] != old["resourceVersion"]
    assert told["status"]["observedGeneration"] == 1
    stale = {**STATUS, "observedGeneration": 0}
    await _refused(kube.patch_status(key, stale, resource_version=old["resourceVersion"]), Conflict)


async def the_same_status_again_is_no_new_version(kube: Any, topic: Object) -> None:
    key, version = key_of(TOPIC, topic), topic["metadata"]["resourceVersion"]
    first = await kube.patch_status(key, STATUS, resource_version=version)
    version = first["metadata"]["resourceVersion"]
    again = await kube.patch_status(key, STATUS, resource_version=version)
    assert again["metadata"]["resourceVersion"] == version


async def a_spec_change_is_a_new_generation_and_null_takes_out(kube: Any, topic: Object) -> None:
    name, namespace = topic["metadata"]["name"], topic["metadata"]["namespace"]
    patch = {"metadata": {}, "spec": {"config": {"retention.ms": None, "preallocate": "true"}}}
    changed = await kube.merge_patch(TOPIC, namespace, name, patch)
    assert changed["metadata"]["generation"] == topic["metadata"]["generation"] + 1
    assert changed["spec"]["config"] == {"preallocate": "true"}


async def a_finalizer_holds_a_deleted_object(kube: Any, topic: Object) -> None:
    name, namespace = topic["metadata"]["name"], topic["metadata"]["namespace"]
    version = topic["metadata"]["resourceVersion"]
    patch = {"metadata": {"finalizers": ["example.com/a"], "resourceVersion": version}}
    held = await kube.merge_patch(TOPIC, namespace, name, patch)
    assert held["metadata"]["generation"] == topic["metadata"]["generation"]
    await _refused(kube.merge_patch(TOPIC, namespace, name, patch), Conflict)
    await kube.delete(TOPIC, namespace, name)
    going = await kube.get(TOPIC, namespace, name)
    assert "deletionTimestamp" in going["metadata"]
    await kube.merge_patch(TOPIC, namespace, name, {"metadata": {"finalizers": []}})
    await _refused(kube.get(TOPIC, namespace, name), NotFound)


Clause = Callable[[Any, Object], Awaitable[None]]
CLAUSES: Final[tuple[Clause, ...]] = (
    a_status_is_guarded_and_leaves_the_generation,
    the_same_status_again_is_no_new_version,
    a_spec_change_is_a_new_generation_and_null_takes_out,
    a_finalizer_holds_a_deleted_object,
)


def a_topic(name: str, namespace: str = "default") -> Object:
    """A Topic to try a clause on."""
    return {
        "apiVersion": TOPIC.api_version,
        "kind": TOPIC.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "clusterRef": {"name": "c"},
            "partitions": 1,
            "config": {"retention.ms": "1000"},
        },
    }
