"""One Cluster: look at all there is of it, plan, act, say in its status how it stands."""

from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from headrace_operator import status
from headrace_operator.apply import carry_out
from headrace_operator.cluster_brokers import alter_addresses, alter_defaults, ask_brokers
from headrace_operator.cluster_conditions import conditions_of
from headrace_operator.context import Context
from headrace_operator.crd.cluster import Cluster
from headrace_operator.errors import Conflict, NotFound, Refused
from headrace_operator.etcd_api import EtcdFault
from headrace_operator.kinds import CLUSTER, PERSISTENT_VOLUME_CLAIM, STATEFUL_SET, Key, Object
from headrace_operator.observe.cluster import observe
from headrace_operator.plan.cluster import ClusterPlan, plan_cluster
from headrace_operator.plan.cluster_actions import AlterBrokerAddresses, AlterBrokerDefaults
from headrace_operator.plan.cluster_status import status_of
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.verdict import State, Verdict, reconciling, stalled

AGAIN_SECONDS: Final = 0.1
"""After something was done: the answers are in the store, and the next step may be due."""
BUSY_SECONDS: Final = 1.0
"""While pods start: that a broker has registered is told by nobody but itself."""
STUCK_SECONDS: Final = 5.0
"""A Secret or a StorageClass that somebody makes is not watched."""
CALM_SECONDS: Final = 60.0
"""A ready Cluster: drift of settings, certificates that age, an etcd that runs out of room."""
_PICTURE_SECONDS: Final = 1.0


async def reconcile(context: Context, key: Key) -> float | None:
    """Seconds until the next look."""
    obj = context.store.at(key)
    if obj is None:
        context.admin.forget(key.namespace, key.name)
        return None
    store = context.store
    if not all(store.complete(kind) for kind in (CLUSTER, STATEFUL_SET, PERSISTENT_VOLUME_CLAIM)):
        return _PICTURE_SECONDS
    try:
        cluster = Cluster.model_validate(obj)
    except ValidationError as refused:
        return await _say_invalid(context, obj, refused)
    observed = await ask_brokers(context, await observe(context, cluster))
    plan = plan_cluster(observed)
    refused_by = await _act(context, observed, plan)
    if refused_by is not None:
        plan = replace(plan, verdict=refused_by)
    await _report(context, obj, observed, plan)
    if plan.actions and refused_by is None:
        return AGAIN_SECONDS
    return _NEXT_SECONDS[plan.verdict.state]


_NEXT_SECONDS: Final = {
    State.READY: CALM_SECONDS,
    State.RECONCILING: BUSY_SECONDS,
    State.STALLED: STUCK_SECONDS,
}


async def _act(context: Context, observed: ObservedCluster, plan: ClusterPlan) -> Verdict | None:
    """Carry the plan out; a refusal, which somebody has to mend, becomes the verdict."""
    try:
        for action in plan.actions:
            if isinstance(action, AlterBrokerDefaults):
                await alter_defaults(context, observed.cluster, action)
            elif isinstance(action, AlterBrokerAddresses):
                await alter_addresses(context, observed.cluster, action)
        await carry_out(context, observed, plan.actions)
    except Refused as refused:
        return stalled("Refused", f"A change was refused. {refused}")
    except EtcdFault as failed:
        return reconciling("EtcdRefused", f"It is tried again: {failed}.")
    return None


async def _report(
    context: Context, obj: Object, observed: ObservedCluster, plan: ClusterPlan
) -> None:
    verdict = plan.verdict
    says = status.kstatus(verdict.state.value, verdict.reason, verdict.message)
    says += conditions_of(observed, plan)
    fields = status_of(observed, plan).document()
    for ours in ("conditions", "observedGeneration"):
        fields.pop(ours, None)
    key = Key(CLUSTER, observed.cluster.metadata.namespace, _name(observed))
    latest = context.store.at(key) or obj
    try:
        written = await status.write(context, latest, says, fields)
    except (Conflict, NotFound):
        return
    if verdict.state is State.STALLED and written is not latest:
        await context.events.say(obj, verdict.reason, verdict.message, kind="Warning")


def _name(observed: ObservedCluster) -> str:
    return observed.cluster.metadata.name


async def _say_invalid(context: Context, obj: Object, refused: ValidationError) -> float:
    first = refused.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    verdict = stalled("InvalidSpec", f"{where}: {first['msg']}. Nothing is changed.")
    says = status.kstatus(verdict.state.value, verdict.reason, verdict.message)
    fields = dict(obj.get("status") or {})
    for ours in ("conditions", "observedGeneration"):
        fields.pop(ours, None)
    await status.write(context, obj, says, fields)
    return CALM_SECONDS
