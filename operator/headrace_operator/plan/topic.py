"""What to do for one Topic. Pure: the same observation always gives the same plan.

A plan holds at most one destructive action (DeleteTopic), and after its actions are done the next
plan is empty (tests/laws/test_plan_topic.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from uuid import UUID

from headrace.config.key import SettingError, text_of
from headrace.config.topic import TOPIC_KEYS

from headrace_operator.plan.standing import Standing, refusal
from headrace_operator.plan.verdict import State, Verdict, ready, stalled

UNKNOWN_ID = UUID(int=0)
"""The id of a topic that was just created by a broker too old to tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTopic:
    """A topic as the brokers show it; `settings` are those set on the topic itself."""

    topic_id: UUID
    partitions: int
    replication_factor: int = 1
    internal: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTopic:
    """A Topic resource beside the topic it stands for."""

    standing: Standing
    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    adoption: Literal["IfCompatible", "Never"] = "IfCompatible"
    drift_policy: Literal["Correct", "Report"] = "Correct"
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    deleting: bool = False
    finalizer: bool = False
    """Whether our finalizer is on the resource."""

    known_id: UUID | None = None
    """The topic this resource has made or adopted (status.topicId)."""
    claimed: bool = False
    """This resource had said in its status that it would create the topic, before it did."""
    managed: frozenset[str] = frozenset()
    """The settings it has set (status.managedConfig)."""
    settled: bool = False
    """The present spec has been applied before: what differs now was changed by others."""

    live: LiveTopic | None = None
    """None where the brokers have no such topic, and where they were not asked."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the resource until its topic is deleted."""


@dataclass(frozen=True, slots=True)
class ReleaseFinalizer:
    """Let the resource go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimName:
    """Say in status that the topic will be created, so that it is known as ours afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTopic:
    """Make the topic."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowTopic:
    """Add partitions until there are `partitions`."""

    name: str
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterTopicConfig:
    """Set some settings and reset others to their defaults."""

    name: str
    set_to: Mapping[str, str]
    reset: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTopic:
    """Destructive: the topic of that id and its records. Never by name."""

    topic_id: UUID


Action: TypeAlias = (
    AddFinalizer
    | ReleaseFinalizer
    | ClaimName
    | CreateTopic
    | GrowTopic
    | AlterTopicConfig
    | DeleteTopic
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """Actions in order, and how the resource stands once they are done."""

    actions: tuple[Action, ...] = ()
    verdict: Verdict
    drift: str | None = None
    """What others changed and the operator leaves alone, as a sentence."""


def needs_cluster(observed: ObservedTopic) -> bool:
    """Whether planning needs to know the live topic: else the brokers need not be asked."""
    if not observed.standing.reachable:
        return False
    return not observed.deleting or (observed.finalizer and observed.deletion_policy == "Delete")


def plan_topic(observed: ObservedTopic) -> TopicPlan:
    """The actions for this Topic, and the verdict that goes into its status."""
    if observed.deleting:
        return _plan_deletion(observed)
    refused = refusal(observed.standing, claimed=f"topic {observed.name!r}")
    if refused is None and observed.live is not None:
        refused = _refuse_adoption(observed, observed.live)
    if refused is not None:
        return TopicPlan(verdict=refused)
    actions: list[Action] = []
    wants_finalizer = observed.deletion_policy == "Delete"
    if wants_finalizer and not observed.finalizer:
        actions.append(AddFinalizer())
    if not wants_finalizer and observed.finalizer:
        actions.append(ReleaseFinalizer())
    if observed.live is None:
        return _plan_creation(observed, actions)
    return _plan_change(observed, observed.live, actions)


def _plan_deletion(observed: ObservedTopic) -> TopicPlan:
    if not observed.finalizer:
        return TopicPlan(verdict=ready("Released", "The resource is being deleted."))
    actions: list[Action] = [ReleaseFinalizer()]
    message = f"Topic {observed.name!r} stays in the Cluster."
    live = observed.live
    ours = live is not None and live.topic_id == observed.known_id
    if live is not None and ours and needs_cluster(observed):
        actions.insert(0, DeleteTopic(topic_id=live.topic_id))
        message = f"Topic {observed.name!r} is being deleted with its records."
    return TopicPlan(actions=tuple(actions), verdict=ready("Released", message))


def _refuse_adoption(observed: ObservedTopic, live: LiveTopic) -> Verdict | None:
    where = observed.standing.cluster_name
    if live.internal:
        return stalled(
            "InternalTopic",
            f"{observed.name!r} is an internal topic of Cluster {where}, which the brokers keep"
            " themselves: name another in spec.topicName of a new resource.",
        )
    known = observed.known_id == live.topic_id or observed.claimed
    if known or observed.adoption == "IfCompatible":
        return None
    if observed.known_id is not None:
        return stalled(
            "AdoptionRefused",
            f"Topic {observed.name!r} of Cluster {where} was deleted and made anew by somebody"
            f" else (its id is {live.topic_id} now, it was {observed.known_id}), and spec.adoption"
            " is Never: set it to IfCompatible to take the new one, or delete that topic.",
        )
    return stalled(
        "AdoptionRefused",
        f"Cluster {where} has a topic {observed.name!r} already, and spec.adoption is Never: set it"
        " to IfCompatible to take that topic, or delete it.",
    )


def _plan_creation(observed: ObservedTopic, actions: list[Action]) -> TopicPlan:
    if observed.known_id is not None and observed.settled and observed.drift_policy == "Report":
        drift = (
            f"Topic {observed.name!r} (id {observed.known_id}) is gone from Cluster"
            f" {observed.standing.cluster_name}; spec.driftPolicy is Report, so it stays gone until"
            " the policy is Correct or the spec changes."
        )
        return TopicPlan(actions=tuple(actions), verdict=ready("DriftReported", drift), drift=drift)
    if observed.adoption == "Never" and not observed.claimed:
        actions.append(ClaimName())
    actions.append(
        CreateTopic(
            name=observed.name,
            partitions=observed.partitions,
            config=canonical(observed.config),
        )
    )
    return TopicPlan(actions=tuple(actions), verdict=_in_sync(observed))


def _plan_change(observed: ObservedTopic, live: LiveTopic, actions: list[Action]) -> TopicPlan:
    changes: list[Action] = []
    if live.partitions < observed.partitions:
        changes.append(GrowTopic(name=observed.name, partitions=observed.partitions))
    set_to = {k: v for k, v in canonical(observed.config).items() if live.settings.get(k) != v}
    reset = frozenset(
        k for k in observed.managed if k not in observed.config and k in live.settings
    )
    if set_to or reset:
        changes.append(AlterTopicConfig(name=observed.name, set_to=set_to, reset=reset))
    same = observed.known_id in (None, live.topic_id)
    if observed.settled and observed.drift_policy == "Report":
        drift = _drift(observed, live, set_to, reset, same=same)
        if drift is not None:
            return TopicPlan(
                actions=tuple(actions), verdict=ready("DriftReported", drift), drift=drift
            )
    verdict = _in_sync(observed)
    if live.partitions > observed.partitions:
        verdict = stalled(
            "PartitionsCannotDecrease",
            f"Topic {observed.name!r} of Cluster {observed.standing.cluster_name} has"
            f" {live.partitions} partitions and spec.partitions is {observed.partitions}:"
            f" partitions cannot be removed, so set spec.partitions to {live.partitions}.",
        )
    return TopicPlan(actions=(*actions, *changes), verdict=verdict)


def _drift(
    observed: ObservedTopic,
    live: LiveTopic,
    set_to: Mapping[str, str],
    reset: frozenset[str],
    *,
    same: bool,
) -> str | None:
    found = [] if same else [f"it was made anew (id {live.topic_id})"]
    if live.partitions != observed.partitions:
        found.append(f"it has {live.partitions} partitions, not {observed.partitions}")
    for name, wanted in sorted(set_to.items()):
        here = live.settings.get(name)
        found.append(f"{name} is {here if here is not None else 'not set'}, not {wanted}")
    found += [f"{name} is set again" for name in sorted(reset)]
    if not found:
        return None
    return (
        f"Topic {observed.name!r} was changed by somebody else: {'; '.join(found)}."
        " spec.driftPolicy is Report, so it stays so."
    )


def _in_sync(observed: ObservedTopic) -> Verdict:
    plural = "" if observed.partitions == 1 else "s"
    return ready(
        "InSync",
        f"Topic {observed.name!r} is in Cluster {observed.standing.cluster_name} with"
        f" {observed.partitions} partition{plural}, as the spec says.",
    )


def canonical(config: Mapping[str, str]) -> dict[str, str]:
    """Each value as brokers write it, so that "TRUE" is no difference from "true".

    What this operator cannot read goes on as it is: the broker decides, and says why not.
    """
    texts = {}
    for name, text in config.items():
        try:
            value = text_of(TOPIC_KEYS[name].parse(text)) if name in TOPIC_KEYS else text
        except SettingError:
            value = text
        texts[name] = text if value is None else value
    return texts


def applied(observed: ObservedTopic, action: Action) -> ObservedTopic:
    """The observation after the action was done."""
    live = observed.live
    match action:
        case AddFinalizer():
            return replace(observed, finalizer=True)
        case ReleaseFinalizer():
            return replace(observed, finalizer=False)
        case ClaimName():
            return replace(observed, claimed=True)
        case CreateTopic():
            made = LiveTopic(
                topic_id=UNKNOWN_ID, partitions=action.partitions, settings=action.config
            )
            return replace(observed, live=made, known_id=UNKNOWN_ID)
        case DeleteTopic():
            return replace(observed, live=None)
        case GrowTopic():
            assert live is not None
            return replace(observed, live=replace(live, partitions=action.partitions))
        case AlterTopicConfig():
            assert live is not None
            kept = {k: v for k, v in live.settings.items() if k not in action.reset}
            return replace(observed, live=replace(live, settings={**kept, **action.set_to}))


def settled(observed: ObservedTopic, plan: TopicPlan) -> ObservedTopic:
    """The observation once the plan was carried out and status says so."""
    if plan.verdict.state is not State.READY or plan.drift is not None or observed.live is None:
        return replace(observed, settled=plan.verdict.state is State.READY)
    return replace(
        observed,
        settled=True,
        claimed=False,
        known_id=observed.live.topic_id,
        managed=frozenset(observed.config),
    )
