"""The store against the API server's truth: events late, lost, repeated, in any order; sweeps.

Once the events have come or a sweep was done, the store is what the server has; before that it
never shows something older than it showed already, and nothing that is gone comes back.
"""

from typing import Any

from headrace_operator.kinds import TOPIC, Key, Object
from headrace_operator.store import Change, Store, version_of
from headrace_operator.watched import topic_owners
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("x", "y", "z")
CLUSTERS = ("c1", "c2")

changes = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(["set", "delete"]), st.sampled_from(CLUSTERS)
    ),
    min_size=1,
    max_size=25,
)


def topic(name: str, version: int, uid: str, cluster: str = "c1") -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "1"},
        },
        "spec": {"clusterRef": {"name": cluster}},
    }


class Server:
    """The truth: every version of the collection, and the events that led to it."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, Object] = {}
        self.history: dict[int, list[Object]] = {self.version: []}
        self.events: list[tuple[str, Object]] = []
        self.uids = 0

    def change(self, name: str, what: str, cluster: str) -> None:
        old = self.objects.get(name)
        if what == "delete" and old is None:
            return
        self.version += 1
        if what == "delete" and old is not None:
            gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
            del self.objects[name]
            self.events.append(("DELETED", gone))
        else:
            if old is None:
                self.uids += 1
            uid = old["metadata"]["uid"] if old else f"uid-{self.uids}"
            self.objects[name] = topic(name, self.version, uid, cluster)
            self.events.append(("MODIFIED" if old else "ADDED", self.objects[name]))
        self.history[self.version] = list(self.objects.values())


def feed(store: Store, event: tuple[str, Object]) -> Change | None:
    kind, obj = event
    return store.drop(TOPIC, obj) if kind == "DELETED" else store.put(TOPIC, obj)


def sweep(store: Store, server: Server, version: int) -> list[Change]:
    made = store.sweep(TOPIC)
    items = server.history[version]
    made.take(items[:1])
    made.take(items[1:])
    return made.finish(version)


def shown(store: Store) -> dict[str, int]:
    return {obj["metadata"]["name"]: version_of(obj) for obj in store.all(TOPIC)}


def truth(server: Server) -> dict[str, int]:
    return {name: version_of(obj) for name, obj in server.objects.items()}


def check_index(store: Store) -> None:
    for cluster in CLUSTERS:
        found = {obj["metadata"]["name"] for obj in store.owned(TOPIC, ("ns", cluster))}
        wanted = {
            obj["metadata"]["name"]
            for obj in store.all(TOPIC)
            if obj["spec"]["clusterRef"]["name"] == cluster
        }
        assert found == wanted


@settings(max_examples=300, deadline=None)
@given(changes, st.data())
def test_all_events_in_any_order_give_the_truth(
    wanted: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    server, store = Server(), Store({TOPIC: topic_owners})
    for change in wanted:
        server.change(*change)
    for event in data.draw(st.permutations(server.events)):
        feed(store, event)
        if data.draw(st.booleans()):
            feed(store, event)
    assert shown(store) == truth(server)
    check_index(store)


@settings(max_examples=300, deadline=None)
@given(changes, st.data())
def test_a_sweep_makes_up_for_every_lost_event(
    wanted: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    server, store = Server(), Store({TOPIC: topic_owners})
    for change in wanted:
        server.change(*change)
    for event in server.events:
        if data.draw(st.booleans()):
            feed(store, event)
    assert not store.complete(TOPIC)
    before = shown(store)
    told = {change.key.name for change in sweep(store, server, server.version)}
    assert store.complete(TOPIC)
    assert shown(store) == truth(server)
    differed = {n for n in {*before, *truth(server)} if before.get(n) != truth(server).get(n)}
    assert told == differed
    check_index(store)
    assert sweep(store, server, server.version) == []


@settings(max_examples=300, deadline=None)
@given(changes, st.data())
def test_a_late_sweep_undoes_nothing(
    wanted: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    """A LIST that was read some time ago arrives after events that are newer than it."""
    server, store = Server(), Store({TOPIC: topic_owners})
    for change in wanted:
        server.change(*change)
    for event in server.events:
        feed(store, event)
    sweep(store, server, data.draw(st.sampled_from(sorted(server.history))))
    assert shown(store) == truth(server)
    for event in server.events:
        assert feed(store, event) is None, "an old event was taken for news"
    check_index(store)


def test_what_is_kept_is_lean_and_whole() -> None:
    store = Store({TOPIC: topic_owners})
    store.put(TOPIC, topic("x", 5, "u"))
    kept: Any = store.get(TOPIC, "ns", "x")
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"kept": "1"}
    assert kept["apiVersion"] == "headrace.io/v1alpha1"
    assert kept["kind"] == "Topic"
    assert store.at(Key(TOPIC, "ns", "x")) is kept
    assert store.count(TOPIC) == 1


def test_a_namesake_is_another_object() -> None:
    store = Store({TOPIC: topic_owners})
    store.put(TOPIC, topic("x", 9, "second"))
    assert store.drop(TOPIC, topic("x", 8, "first")) is None
    assert store.put(TOPIC, topic("x", 7, "first")) is None
    assert shown(store) == {"x": 9}
