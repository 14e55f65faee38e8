"""The rules of Topics and Quotas, as the real operator keeps them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.base.errors import Refusal
from headrace_operator.admin.outcome import Away
from headrace_operator.admin.settings import TOPIC as TOPIC_RESOURCE
from headrace_operator.admin.settings import SettingsChange
from headrace_operator.plan.topic import GrowTopic, LiveTopic

from e2e.kubernetes.runtime_stage import Stage, collection
from e2e.kubernetes.runtime_world import CheckFailed, until

LOOK_S = 3
"""What others change in the brokers is looked for that often here, instead of every two minutes."""
SOON_S = 20.0
"""For what an event of the API server tells."""
LOOKED_S = SOON_S + 2 * LOOK_S
HELD = "example.com/held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One namespace of the stage, whose resources belong to Cluster default/c or another."""

    stage: Stage
    namespace: str
    cluster: str = "c"

    def topic(self, name: str, *, partitions: int = 1, **spec: Any) -> str:
        return self.make("Topic", name, partitions=partitions, **spec)

    def quota(self, name: str, user: str, **limits: Any) -> str:
        return self.make("Quota", name, entity={"user": {"name": user}}, limits=limits)

    def make(self, kind: str, name: str, **spec: Any) -> str:
        """Create it; returns its path."""
        reference = {"name": self.cluster, "namespace": "default"}
        obj = {
            "apiVersion": "headrace.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": {"clusterRef": reference, **spec},
        }
        self.stage.w.ask("POST", collection(kind, self.namespace), obj)
        return collection(kind, self.namespace, name)

    def get(self, path: str) -> Any:
        return self.stage.w.ask("GET", path)

    def change(self, path: str, **spec: Any) -> None:
        self.stage.w.ask("PATCH", path, {"spec": spec})

    def delete(self, path: str) -> None:
        self.stage.w.ask("DELETE", path)

    def exists(self, path: str) -> bool:
        return self.stage.w.api.request("GET", path)[0] == 200

    def gone(self, path: str, timeout_s: float = SOON_S) -> float:
        return until(f"{path} is gone", lambda: not self.exists(path), timeout_s)

    def says(self, path: str, state: str, reason: str, timeout_s: float = SOON_S) -> str:
        """Wait for this state and reason; returns the sentence."""
        try:
            until("", lambda: self.stage.says(path)[:2] == (state, reason), timeout_s)
        except CheckFailed:
            seen = " ".join(self.stage.says(path))
            raise CheckFailed(f"{path}: not {state} ({reason}) but: {seen}") from None
        return self.stage.says(path)[2]

    def condition(self, path: str, name: str) -> Any:
        conditions = self.get(path)["status"]["conditions"]
        return next(each for each in conditions if each["type"] == name)

    def live(self, topic: str, *settings: str) -> LiveTopic | None:
        """The topic as the brokers have it."""
        found = self.stage.brokers(
            lambda admin: admin.describe_topic(topic, frozenset(settings)), self.cluster
        )
        return _answered(found)

    def alter(self, topic: str, **settings: str) -> None:
        """Change settings as another tool would; a _ stands for a dot."""
        change = SettingsChange(
            kind=TOPIC_RESOURCE,
            name=topic,
            set_to={name.replace("_", "."): value for name, value in settings.items()},
            reset=frozenset(),
        )
        _answered(self.stage.brokers(lambda admin: admin.alter_settings(change), self.cluster))

    def drop(self, topic: str) -> None:
        """Delete the topic as another tool would."""
        found = self.live(topic)
        if found is None:
            raise CheckFailed(f"there is no topic {topic} to delete")
        _answered(
            self.stage.brokers(lambda admin: admin.delete_topic(found.topic_id), self.cluster)
        )

    def limits(self, user: str) -> dict[str, float]:
        entity = (("user", user),)
        found = self.stage.brokers(lambda admin: admin.describe_quota(entity), self.cluster)
        return dict(_answered(found))


def _answered(found: Any) -> Any:
    if isinstance(found, Refusal | Away):
        raise CheckFailed(f"the brokers: {found.message}")
    return found


def expect(seen: object, wanted: object, what: str) -> None:
    """Raise CheckFailed where they differ."""
    if seen != wanted:
        raise CheckFailed(f"{what}: {seen!r}, not {wanted!r}")


def admitted_namespaces(s: Scene) -> str:
    """Topics and Quotas of other namespaces need the Cluster's consent."""
    clusters = collection("Cluster", name="c")
    s.change(clusters, access={"namespaces": []})
    topic, quota = s.topic("admitted"), s.quota("q", "admitted", producerByteRate="1Mi")
    for path in (topic, quota):
        sentence = s.says(path, "Stalled", "NotPermitted")
    expect(s.live("admitted"), None, "the topic before consent")
    s.change(clusters, access={"namespaces": [s.namespace]})
    for path in (topic, quota):
        s.says(path, "Ready", "InSync" if path is topic else "Applied")
    expect(s.limits("admitted"), {"producer_byte_rate": 1048576.0}, "the limits")
    s.change(clusters, access={"namespaces": ["elsewhere"]})
    for path in (topic, quota):
        s.says(path, "Stalled", "NotPermitted")
    expect(s.live("admitted") is not None, True, "the topic stays without consent")
    s.change(clusters, access={"namespaces": ["*"]})
    s.says(topic, "Ready", "InSync")
    return sentence


def one_name(s: Scene) -> str:
    """Of two Topics with one name the older counts; when it goes, the other takes over."""
    first = s.topic("z-first", topicName="one-name", partitions=1)
    s.says(first, "Ready", "InSync")
    born = s.get(first)["metadata"]["creationTimestamp"]
    until("a second passes", lambda: _probe(s) > born, SOON_S)
    second = s.topic("a-second", topicName="one-name", partitions=3)
    sentence = s.says(second, "Stalled", "Conflict")
    expect(f"{s.namespace}/z-first" in sentence, True, "the sentence names the holder")
    s.says(first, "Ready", "InSync", 1)
    s.delete(first)
    s.says(second, "Ready", "InSync")
    found = s.live("one-name")
    expect(found and found.partitions, 3, "partitions after the takeover")
    return sentence


def _probe(s: Scene) -> str:
    """The API server's second, as it stamps objects with."""
    answer = s.stage.w.ask(
        "POST",
        f"/api/v1/namespaces/{s.namespace}/configmaps?dryRun=All",
        {"metadata": {"name": "probe"}},
    )
    return str(answer["metadata"]["creationTimestamp"])


def one_name_in_one_second(s: Scene) -> str:
    """Born in the same second, the smaller UID counts."""
    for attempt in range(10):
        name = f"twins-{attempt}"
        paths = [s.topic(f"{name}-{letter}", topicName=name) for letter in "ab"]
        born = {s.get(path)["metadata"]["creationTimestamp"] for path in paths}
        if len(born) == 1:
            break
    else:
        raise CheckFailed("no two Topics were made in one second")
    paths.sort(key=lambda path: str(s.get(path)["metadata"]["uid"]))
    s.says(paths[0], "Ready", "InSync")
    s.says(paths[1], "Stalled", "Conflict")
    s.delete(paths[0])
    s.says(paths[1], "Ready", "InSync")
    return "the smaller UID held the name, the other took over"


def one_entity(s: Scene) -> str:
    """Of two Quotas of one entity the older counts; when it goes, the other's limits hold."""
    first = s.quota("z-first", "one-entity", producerByteRate="1Mi")
    s.says(first, "Ready", "Applied")
    born = s.get(first)["metadata"]["creationTimestamp"]
    until("a second passes", lambda: _probe(s) > born, SOON_S)
    second = s.quota("a-second", "one-entity", consumerByteRate="2Mi")
    sentence = s.says(second, "Stalled", "Conflict")
    expect(s.limits("one-entity"), {"producer_byte_rate": 1048576.0}, "the first one's limits")
    s.delete(first)
    s.gone(first)
    s.says(second, "Ready", "Applied")
    expect(s.limits("one-entity"), {"consumer_byte_rate": 2097152.0}, "the second one's limits")
    return sentence


def drift_is_corrected(s: Scene) -> str:
    """What others change in the brokers is undone, also a topic that they delete."""
    path = s.topic("corrected", partitions=2, config={"retention.ms": "700000"})
    s.says(path, "Ready", "InSync")
    made = s.live("corrected")
    s.alter("corrected", retention_ms="9", max_message_bytes="5000")
    wanted = {"retention.ms": "700000", "max.message.bytes": "5000"}

    def settings() -> Any:
        found = s.live("corrected", *wanted)
        return found and found.settings

    took = until("the setting is corrected", lambda: settings() == wanted, LOOKED_S)
    s.drop("corrected")
    until("the topic is made anew", lambda: s.live("corrected") is not None, LOOKED_S)
    s.says(path, "Ready", "InSync", LOOKED_S)
    again = s.live("corrected")
    expect(again and again.partitions, 2, "partitions of the new topic")
    expect(bool(made and again and made.topic_id != again.topic_id), True, "it is another topic")
    until(
        "status names the new topic",
        lambda: s.get(path)["status"].get("topicId") == str(again and again.topic_id),
        SOON_S,
    )
    return f"corrected {took:.1f} s after it was changed, looking every {LOOK_S} s"


def drift_is_reported(s: Scene) -> str:
    """With Report it stays as others changed it, and a condition says so."""
    path = s.topic("reported", driftPolicy="Report", config={"retention.ms": "700000"})
    s.says(path, "Ready", "InSync")
    s.alter("reported", retention_ms="9")
    said = s.says(path, "Ready", "DriftReported", LOOKED_S)
    expect("retention.ms is 9, not 700000" in said, True, f"the sentence {said!r}")
    expect(s.condition(path, "Drifted")["status"], "True", "condition Drifted")
    s.change(path, config={"retention.ms": "800000"})
    s.says(path, "Ready", "InSync")
    expect(s.condition(path, "Drifted")["status"], "False", "condition Drifted after a change")
    s.drop("reported")
    gone = s.says(path, "Ready", "DriftReported", LOOKED_S)
    expect(s.live("reported"), None, "the topic that others deleted")
    s.change(path, driftPolicy="Correct")
    s.says(path, "Ready", "InSync")
    expect(s.live("reported") is not None, True, "the topic once the policy is Correct")
    return f"{said} {gone}"


def partitions_that_others_add(s: Scene) -> str:
    """More partitions than the spec says cannot be undone: Stalled, with the cure."""
    path = s.topic("grown")
    s.says(path, "Ready", "InSync")
    grow = GrowTopic(name="grown", partitions=4)
    _answered(s.stage.brokers(lambda admin: admin.grow_topic(grow)))
    sentence = s.says(path, "Stalled", "PartitionsCannotDecrease", LOOKED_S)
    s.change(path, partitions=4)
    s.says(path, "Ready", "InSync")
    return sentence


def fewer_partitions(s: Scene) -> str:
    """Fewer partitions in the spec: Stalled, and nothing happens to the topic."""
    path = s.topic("shrunk", partitions=3)
    s.says(path, "Ready", "InSync")
    s.change(path, partitions=2)
    sentence = s.says(path, "Stalled", "PartitionsCannotDecrease")
    found = s.live("shrunk")
    expect(found and found.partitions, 3, "partitions")
    s.change(path, partitions=3)
    s.says(path, "Ready", "InSync")
    return sentence


def invalid_settings(s: Scene) -> str:
    """What the brokers refuse is said in their words, once, and mended by a change alone."""
    path = s.topic("invalid", config={"retention.ms": "soon"})
    sentence = s.says(path, "Stalled", "InvalidConfig")
    expect("retention.ms" in sentence, True, f"the sentence {sentence!r}")
    s.change(path, config={"retention.ms": "700000", "no.such.setting": "1"})
    s.says(path, "Stalled", "InvalidConfig")
    s.change(path, config={"no.such.setting": None})
    s.says(path, "Ready", "InSync")
    return sentence


def adoption(s: Scene) -> str:
    """A topic that is there is taken over, or with Never left alone."""
    first = s.topic("maker", topicName="adopted")
    s.says(first, "Ready", "InSync")
    s.delete(first)
    s.gone(first)
    never = s.topic("never", topicName="adopted", partitions=2, adoption="Never")
    sentence = s.says(never, "Stalled", "AdoptionRefused")
    found = s.live("adopted")
    expect(found and found.partitions, 1, "partitions of the topic that is left alone")
    s.change(never, adoption="IfCompatible")
    s.says(never, "Ready", "InSync")
    found = s.live("adopted")
    expect(found and found.partitions, 2, "partitions of the topic that was taken over")
    return sentence


def retained_or_deleted(s: Scene) -> str:
    """Retain leaves the topic and holds nothing; Delete removes it, a Quota resets its limits."""
    kept, dropped = s.topic("kept"), s.topic("dropped", deletionPolicy="Delete")
    quota = s.quota("reset", "reset", producerByteRate="1Mi")
    s.says(kept, "Ready", "InSync")
    s.says(dropped, "Ready", "InSync")
    s.says(quota, "Ready", "Applied")
    expect(s.get(kept)["metadata"].get("finalizers"), None, "finalizers of the one that stays")
    for path in (kept, dropped, quota):
        s.delete(path)
        s.gone(path)
    expect(s.live("kept") is not None, True, "the topic with Retain")
    expect(s.live("dropped"), None, "the topic with Delete")
    expect(s.limits("reset"), {}, "the limits of a deleted Quota")
    return "Retain left the topic, Delete removed it, the Quota's limits are reset"


def unknown_cluster(s: Scene) -> str:
    """No such Cluster: Stalled, and looked at again once there is one."""
    nowhere = Scene(stage=s.stage, namespace=s.namespace, cluster="late")
    topic, quota = nowhere.topic("lost"), nowhere.quota("lost", "lost", producerByteRate="1Mi")
    sentence = s.says(topic, "Stalled", "ClusterNotFound")
    s.says(quota, "Stalled", "ClusterNotFound")
    path = collection("Cluster")
    from_c = s.get(collection("Cluster", name="c"))["spec"]
    late = {"apiVersion": "headrace.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "late"}}
    s.stage.w.ask("POST", path, {**late, "spec": {**from_c, "suspend": True}})
    s.says(topic, "Reconciling", "Suspended")
    s.delete(collection("Cluster", name="late"))
    s.says(topic, "Stalled", "ClusterNotFound")
    for each in (topic, quota):
        s.delete(each)
        s.gone(each)
    return sentence


def suspended(s: Scene) -> str:
    """While the Cluster is suspended nothing is changed in it; what changes nothing goes on."""
    clusters = collection("Cluster", name="c")
    path, leaving = s.topic("waits"), s.topic("leaves", deletionPolicy="Delete")
    s.says(path, "Ready", "InSync")
    s.says(leaving, "Ready", "InSync")
    s.change(clusters, suspend=True)
    try:
        sentence = s.says(path, "Reconciling", "Suspended")
        s.change(path, partitions=2)
        s.says(path, "Reconciling", "Suspended")
        found = s.live("waits")
        expect(found and found.partitions, 1, "partitions while suspended")
        s.delete(leaving)
        s.change(leaving, deletionPolicy="Retain")
        s.gone(leaving)
    finally:
        s.change(clusters, suspend=False)
    s.says(path, "Ready", "InSync")
    found = s.live("waits")
    expect(found and found.partitions, 2, "partitions after it")
    return sentence


def cluster_goes(s: Scene) -> str:
    """Finalizers are released at once when the Cluster is terminating, and when it is absent."""
    d = Scene(stage=s.stage, namespace=s.namespace, cluster="d")
    clusters = collection("Cluster", name="d")
    held = [d.topic(f"held-{n}", deletionPolicy="Delete") for n in range(3)]
    quotas = [d.quota(f"held-{n}", f"held-{n}", producerByteRate="1Mi") for n in range(3)]
    for topic, quota in zip(held, quotas, strict=True):
        d.says(topic, "Ready", "InSync")
        d.says(quota, "Ready", "Applied")
    s.stage.w.ask("PATCH", clusters, {"metadata": {"finalizers": [HELD]}})
    s.stage.nodes.kill("d")
    for path in (held[0], quotas[0]):
        s.delete(path)
        d.says(path, "Reconciling", "ClusterNotReady", 30)
    began_waiting = (held[0], quotas[0])
    s.delete(clusters)
    took = max(d.gone(path) for path in began_waiting)
    for path in (held[1], quotas[1]):
        d.says(path, "Stalled", "ClusterTerminating")
        s.delete(path)
        d.gone(path)
    s.stage.w.ask("PATCH", clusters, {"metadata": {"finalizers": None}})
    d.gone(clusters)
    for path in (held[2], quotas[2]):
        d.says(path, "Stalled", "ClusterNotFound")
        s.delete(path)
        d.gone(path)
    return f"what its silent brokers had held up was free {took:.1f} s after it was deleted"


RULES: tuple[Callable[[Scene], str], ...] = (
    admitted_namespaces,
    one_name,
    one_name_in_one_second,
    one_entity,
    drift_is_corrected,
    drift_is_reported,
    partitions_that_others_add,
    fewer_partitions,
    invalid_settings,
    adoption,
    retained_or_deleted,
    unknown_cluster,
    suspended,
    cluster_goes,
)
