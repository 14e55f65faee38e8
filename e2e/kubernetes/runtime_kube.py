"""What the operator's API client promises, asked of a real API server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from headrace_operator import finalizers, status
from headrace_operator.access import configuration
from headrace_operator.admin import Admin
from headrace_operator.clock import SystemClock
from headrace_operator.context import Context
from headrace_operator.errors import (
    AlreadyExists,
    Conflict,
    KubeError,
    NotFound,
    Refused,
    Unreachable,
)
from headrace_operator.events import Events
from headrace_operator.kinds import CONFIG_MAP, EVENT, POD_MONITOR, TOPIC, Object
from headrace_operator.kube import Kube
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import topic_owners

from e2e.kubernetes.runtime_world import CheckFailed, World, topic
from tests.kube_contract import CLAUSES, a_topic

MANY = 7


def kube_contract(w: World) -> str:
    """Every promise of Kube, status and finalizers."""
    return asyncio.run(_contract(w))


def memory_contract(w: World) -> str:
    """The API server does what the tests' resources in memory do."""

    async def play() -> None:
        kube = Kube(await configuration(w.api.kubeconfig))
        try:
            for number, clause in enumerate(CLAUSES):
                await clause(kube, await kube.create(a_topic(f"clause-{number}")))
        finally:
            await kube.close()

    asyncio.run(play())
    return f"{len(CLAUSES)} clauses hold"


async def _contract(w: World) -> str:
    access = await configuration(w.api.kubeconfig)
    kube = Kube(access)
    parts = (_apply, _conflicts, _lists, _status, _finalizers, _events, _faults)
    try:
        for part in parts:
            await part(kube)
        await _frozen(w, access)
    finally:
        await kube.close()
    return f"{len(parts) + 1} parts hold"


def _config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


async def _raises(kind: type[KubeError], what: str, call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        await call()
    except kind as raised:
        return raised
    raise CheckFailed(f"{what} raised no {kind.__name__}")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CheckFailed(what)


async def _apply(kube: Kube) -> None:
    first = await kube.apply(_config_map("applied", a="1", b="2"))
    again = await kube.apply(_config_map("applied", a="1", b="2"))
    same = first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    _expect(same, "applying the same twice made a new version")
    changed = await kube.apply(_config_map("applied", a="1"))
    _expect(changed["data"] == {"a": "1"}, "a field that was no longer applied stayed")
    await _raises(
        AlreadyExists, "creating it again", lambda: kube.create(_config_map("applied", a="1"))
    )


async def _conflicts(kube: Kube) -> None:
    old = await kube.get(CONFIG_MAP, "default", "applied")
    metadata = old["metadata"]
    await kube.apply(_config_map("applied", a="3"))
    await _raises(Conflict, "replacing an old version", lambda: kube.replace(old))
    version = metadata["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version, "labels": {"x": "y"}}}
    await _raises(
        Conflict,
        "patching an old version",
        lambda: kube.merge_patch(CONFIG_MAP, "default", "applied", patch),
    )
    await _raises(
        Conflict,
        "deleting an old version",
        lambda: kube.delete(CONFIG_MAP, "default", "applied", resource_version=version),
    )
    await _raises(
        Conflict,
        "deleting another UID",
        lambda: kube.delete(CONFIG_MAP, "default", "applied", uid="not-it"),
    )
    done = await kube.delete(CONFIG_MAP, "default", "applied", uid=metadata["uid"])
    _expect(done, "deleting it said that it was gone")
    gone = await kube.delete(CONFIG_MAP, "default", "applied")
    _expect(not gone, "deleting what is gone did not say so")
    await _raises(NotFound, "reading it", lambda: kube.get(CONFIG_MAP, "default", "applied"))
    _expect(await kube.find(CONFIG_MAP, "default", "applied") is None, "find found it")


async def _lists(kube: Kube) -> None:
    for number in range(MANY):
        await kube.create(topic(f"listed-{number}", namespace="default", labels={"mark": "x"}))
    pages = [page async for page in kube.list_pages(TOPIC, "default", labels="mark=x", limit=3)]
    _expect([len(page.items) for page in pages] == [3, 3, 1], "pages are not what was asked for")
    _expect([page.last for page in pages] == [False, False, True], "the last page is not marked")
    _expect(len({page.resource_version for page in pages}) == 1, "pages differ in their version")
    listing = await kube.list_all(TOPIC, labels="mark=x")
    _expect(len(listing.items) == MANY, "a complete LIST is not complete")
    _expect(await kube.served(TOPIC), "Topics are not served")
    _expect(not await kube.served(POD_MONITOR), "PodMonitors are served")


def _context(kube: Kube) -> Context:
    clock = SystemClock()
    queue = Queue(
        clock=clock, jitter=lambda: 0.5, lane_of=lambda key: key, workers=1, lane_workers=1
    )
    return Context(
        kube=kube,
        store=Store({TOPIC: topic_owners}),
        queue=queue,
        settings=Settings(),
        clock=clock,
        events=Events(kube, clock, reporter="check"),
        admin=Admin(),
    )


async def _status(kube: Kube) -> None:
    context = _context(kube)
    made = await kube.get(TOPIC, "default", "listed-0")
    _expect(made["status"]["observedGeneration"] == -1, "a fresh Topic looks observed")
    says = status.kstatus(status.READY, "Said", "It is Ready.")
    after = await status.write(context, made, says, {"managedConfig": []})
    _expect(status.is_current(after), "the status is not what was written")
    _expect(after["spec"] == made["spec"], "spec was changed")
    again = await status.write(context, after, says, {"managedConfig": []})
    _expect(again is after, "the same status was written twice")
    await kube.merge_patch(TOPIC, "default", "listed-0", {"metadata": {"labels": {"y": "z"}}})
    stalled = status.kstatus(status.STALLED, "Said", "It is Stalled.")
    later = await status.write(context, after, stalled, {"managedConfig": []})
    _expect(later["metadata"]["labels"]["y"] == "z", "a status undid a label")
    await kube.delete(TOPIC, "default", "listed-0")
    await _raises(NotFound, "a status for what is gone", lambda: _ready(context, later))
    gone = await kube.find(TOPIC, "default", "listed-0")
    _expect(gone is None, "a status made an object out of nothing")
    namesake = topic("listed-0", namespace="default", labels={"mark": "x"})
    await kube.create(namesake)
    await _raises(Conflict, "a status for a namesake", lambda: _ready(context, later))
    left = await kube.get(TOPIC, "default", "listed-0")
    _expect(left["status"]["observedGeneration"] == -1, "a status landed on a namesake")


async def _ready(context: Context, obj: Object) -> Object:
    says = status.kstatus(status.READY, "Said", "It is Ready.")
    return await status.write(context, obj, says, {"managedConfig": []})


async def _finalizers(kube: Kube) -> None:
    old = await kube.get(TOPIC, "default", "listed-1")
    held = await finalizers.add(kube, old)
    _expect(finalizers.has(held), "it has no finalizer")
    await _raises(Conflict, "an old version", lambda: finalizers.add(kube, old))
    await kube.delete(TOPIC, "default", "listed-1")
    current = await kube.get(TOPIC, "default", "listed-1")
    _expect("deletionTimestamp" in current["metadata"], "the finalizer did not hold it")
    await finalizers.remove(kube, current)
    _expect(await kube.find(TOPIC, "default", "listed-1") is None, "it is still there")
    _expect(await finalizers.remove(kube, current) is None, "removing it twice failed")


async def _events(kube: Kube) -> None:
    context = _context(kube)
    regarding = await kube.get(TOPIC, "default", "listed-2")
    for _ in range(3):
        await context.events.say(regarding, "Checked", "It was looked at.", kind="Warning")
    posted = [
        event
        for event in (await kube.list_all(EVENT, "default")).items
        if event.get("regarding", {}).get("uid") == regarding["metadata"]["uid"]
    ]
    _expect(len(posted) == 1, f"{len(posted)} Events were posted for one that was said thrice")


async def _faults(kube: Kube) -> None:
    wrong = topic("wrong", namespace="default")
    wrong["spec"]["partitions"] = 0
    refused = await _raises(Refused, "a Topic without partitions", lambda: kube.create(wrong))
    _expect("spec.partitions" in refused.message, f"{refused.message!r} names no field")
    _expect(refused.reason == "Invalid", f"reason {refused.reason!r}")


async def _frozen(w: World, access: Any) -> None:
    hasty = Kube(access, timeout_seconds=0.5)
    w.api.server.pause()
    try:
        await _raises(Unreachable, "a frozen server", lambda: hasty.get(TOPIC, "default", "x"))
    finally:
        w.api.server.resume()
        await hasty.close()
