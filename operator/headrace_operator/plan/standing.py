"""Whether a resource may act on its Cluster at all, before anything is asked of the brokers. Pure.

Topics and Quotas stand under the same rules: the Cluster must be there and not on its way out, it
must admit the resource's namespace, and of several resources that mean the same thing the oldest
one counts (then the smaller UID), so that whoever was first keeps what it made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from headrace_operator.plan.verdict import Verdict, stalled


class ClusterState(Enum):
    """What the API server holds of the Cluster that a resource names."""

    ABSENT = "absent"
    TERMINATING = "terminating"
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Claimant:
    """A resource that claims a name in a Cluster. Ordered: the first one holds it."""

    created: str
    """creationTimestamp (RFC 3339 in UTC, which sorts as text)."""
    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One resource before its Cluster. `holder` is who holds what it claims, itself maybe."""

    cluster: ClusterState
    cluster_name: str
    """namespace/name, for messages."""
    permitted: bool
    me: Claimant
    holder: Claimant

    @property
    def reachable(self) -> bool:
        """Whether anything may be changed in the Cluster on behalf of this resource."""
        return self.cluster is ClusterState.PRESENT and self.permitted and self.holder == self.me


def holder_of(claimants: Iterable[Claimant]) -> Claimant:
    """The one that counts. There is at least one: who asks is among them."""
    return min(claimants)


def refusal(standing: Standing, *, claimed: str) -> Verdict | None:
    """Why nothing can be done for the resource; None where it may act.

    `claimed` is what it claims, as in "topic 'orders'".
    """
    namespace, name = standing.me.namespace, standing.me.name
    if standing.cluster is ClusterState.ABSENT:
        return stalled(
            "ClusterNotFound",
            f"There is no Cluster {standing.cluster_name}: create it, or name another in"
            " spec.clusterRef of a new resource.",
        )
    if standing.cluster is ClusterState.TERMINATING:
        return stalled("ClusterTerminating", f"Cluster {standing.cluster_name} is being deleted.")
    if not standing.permitted:
        return stalled(
            "NotPermitted",
            f"Cluster {standing.cluster_name} admits no resources of namespace {namespace}: its"
            " owner may allow that in spec.access.",
        )
    if standing.holder != standing.me:
        other = standing.holder
        return stalled(
            "Conflict",
            f"{claimed[0].upper()}{claimed[1:]} of Cluster {standing.cluster_name} belongs to"
            f" {other.namespace}/{other.name}, which is older: delete one of the two; when that one"
            f" goes, {namespace}/{name} takes over.",
        )
    return None
