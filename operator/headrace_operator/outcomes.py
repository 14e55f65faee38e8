"""What a failed request to the brokers means for the resource that it was made for."""

from headrace.base.errors import Code

from headrace_operator.admin.outcome import Away, Failure, passes
from headrace_operator.belonging import NOT_READY_SECONDS
from headrace_operator.plan.verdict import Verdict, reconciling, stalled

_RETRY_SECONDS = 2.0
_SHORT_OF_BROKERS = frozenset({Code.INVALID_REPLICATION_FACTOR, Code.BROKER_NOT_AVAILABLE})


def verdict_of(failure: Failure, cluster_name: str) -> Verdict:
    """The condition: the broker's own sentence, and what to do about it."""
    said = failure.message.rstrip(".")
    if isinstance(failure, Away):
        return reconciling(
            "ClusterNotReady",
            f"Cluster {cluster_name} does not answer, so this waits: {said}.",
        )
    if failure.code in _SHORT_OF_BROKERS:
        return reconciling(
            "InsufficientBrokers",
            f"Cluster {cluster_name} has too few brokers for this now: {said}.",
        )
    if passes(failure):
        return reconciling(
            "Retrying", f"Cluster {cluster_name} could not do this yet and is asked again: {said}."
        )
    if failure.code is Code.INVALID_CONFIG:
        return stalled(
            "InvalidConfig",
            f"Cluster {cluster_name} refused the settings: {said}. Correct spec.config.",
        )
    return stalled(
        "Refused",
        f"Cluster {cluster_name} refused ({failure.code.name}): {said}. Correct the spec.",
    )


def retry_seconds(failure: Failure, otherwise: float) -> float:
    """When to ask again; `otherwise` where only a person can mend it."""
    if isinstance(failure, Away):
        return NOT_READY_SECONDS
    return _RETRY_SECONDS if passes(failure) else otherwise
