"""An Event is posted once, not once a pass."""

from typing import Any

from headrace_operator.errors import Unreachable
from headrace_operator.events import NOTE_CHARACTERS_MAX, REPEAT_SECONDS, Events

CLUSTER = {
    "apiVersion": "headrace.io/v1alpha1",
    "kind": "Cluster",
    "metadata": {"name": "c", "namespace": "ns", "uid": "u", "resourceVersion": "5"},
}


class World:
    """Clock and API server at once."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.posted: list[dict[str, Any]] = []
        self.away = False
        kube: Any = self
        self.events = Events(kube, self, reporter="operator-1")

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return 1_800_000_000_000 + self.now_ms

    async def create_event(self, event: dict[str, Any]) -> None:
        if self.away:
            raise Unreachable("away")
        self.posted.append(event)


async def test_the_same_is_said_once_an_hour() -> None:
    world = World()
    for _ in range(5):
        await world.events.say(CLUSTER, "Stalled", "Mend it.", kind="Warning")
    assert len(world.posted) == 1
    await world.events.say(CLUSTER, "Stalled", "Mend that.", kind="Warning")
    assert len(world.posted) == 2
    world.now_ms += REPEAT_SECONDS * 1000
    await world.events.say(CLUSTER, "Stalled", "Mend it.", kind="Warning")
    assert len(world.posted) == 3


async def test_what_an_event_holds() -> None:
    world = World()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c-p-0-0", "namespace": "ns"}}
    await world.events.say(CLUSTER, "Restarted", "x" * 2_000, related=pod)
    [event] = world.posted
    assert event["regarding"]["uid"] == "u"
    assert event["related"]["name"] == "c-p-0-0"
    assert event["type"] == "Normal"
    assert len(event["note"]) == NOTE_CHARACTERS_MAX
    assert event["eventTime"] == "2027-01-15T08:00:00.000000Z"


async def test_an_event_that_cannot_be_posted_harms_nobody_and_comes_later() -> None:
    world = World()
    world.away = True
    await world.events.say(CLUSTER, "Stalled", "Mend it.")
    assert world.posted == []
    world.away = False
    await world.events.say(CLUSTER, "Stalled", "Mend it.")
    assert len(world.posted) == 1
