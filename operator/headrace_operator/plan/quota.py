"""What to do for one Quota. Pure; the laws are in tests/laws/test_plan_quota.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from headrace_operator.plan.standing import Standing, refusal
from headrace_operator.plan.verdict import Verdict, ready

Entity: TypeAlias = tuple[tuple[str, str | None], ...]
"""Sorted pairs of Kafka's entity type (user, client-id, ip) and name; None is its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedQuota:
    """A Quota resource beside the limits of its entity. Limits are by Kafka's keys."""

    standing: Standing
    entity: Entity
    limits: Mapping[str, float]
    deleting: bool = False
    finalizer: bool = False
    managed: frozenset[str] = frozenset()
    """The limits that this resource has set (status.effective)."""
    live: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HoldQuota:
    """Put the finalizer on the resource: its limits end with it."""


@dataclass(frozen=True, slots=True)
class ReleaseQuota:
    """Let the resource go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterQuota:
    """Set some limits of the entity and take others away."""

    entity: Entity
    set_to: Mapping[str, float]
    reset: frozenset[str]


Action: TypeAlias = HoldQuota | ReleaseQuota | AlterQuota


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaPlan:
    """Actions in order, and how the resource stands once they are done."""

    actions: tuple[Action, ...] = ()
    verdict: Verdict


def needs_cluster(observed: ObservedQuota) -> bool:
    """Whether planning needs to know the live limits."""
    return observed.standing.reachable and (observed.finalizer or not observed.deleting)


def plan_quota(observed: ObservedQuota) -> QuotaPlan:
    """The actions for this Quota, and the verdict that goes into its status."""
    if observed.deleting:
        return _plan_deletion(observed)
    refused = refusal(observed.standing, claimed=f"the quota of {in_words(observed.entity)}")
    if refused is not None:
        return QuotaPlan(verdict=refused)
    set_to = {k: v for k, v in observed.limits.items() if observed.live.get(k) != v}
    reset = frozenset(
        k for k in observed.managed if k not in observed.limits and k in observed.live
    )
    actions: list[Action] = [] if observed.finalizer else [HoldQuota()]
    if set_to or reset:
        actions.append(AlterQuota(entity=observed.entity, set_to=set_to, reset=reset))
    return QuotaPlan(actions=tuple(actions), verdict=_applied(observed))


def _plan_deletion(observed: ObservedQuota) -> QuotaPlan:
    verdict = ready("Released", f"The limits of {in_words(observed.entity)} are reset.")
    if not observed.finalizer:
        return QuotaPlan(verdict=verdict)
    ours = frozenset({*observed.managed, *observed.limits} & observed.live.keys())
    if ours and observed.standing.reachable:
        reset = AlterQuota(entity=observed.entity, set_to={}, reset=ours)
        return QuotaPlan(actions=(reset, ReleaseQuota()), verdict=verdict)
    return QuotaPlan(actions=(ReleaseQuota(),), verdict=verdict)


def _applied(observed: ObservedQuota) -> Verdict:
    limits = ", ".join(f"{name} {value:.15g}" for name, value in sorted(observed.limits.items()))
    return ready(
        "Applied",
        f"Each broker of Cluster {observed.standing.cluster_name} holds"
        f" {in_words(observed.entity)} to {limits}.",
    )


def in_words(entity: Entity) -> str:
    """As in "user 'alice' and every client-id"."""
    return " and ".join(
        f"every {kind} without limits of its own" if name is None else f"{kind} {name!r}"
        for kind, name in entity
    )


def applied(observed: ObservedQuota, action: Action) -> ObservedQuota:
    """The observation after the action was done."""
    match action:
        case HoldQuota():
            return replace(observed, finalizer=True)
        case ReleaseQuota():
            return replace(observed, finalizer=False)
        case AlterQuota():
            kept = {k: v for k, v in observed.live.items() if k not in action.reset}
            return replace(observed, live={**kept, **action.set_to})


def settled(observed: ObservedQuota) -> ObservedQuota:
    """The observation once its plan was carried out and status says so."""
    return replace(observed, managed=frozenset(observed.limits))
