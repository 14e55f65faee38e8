"""One Quota: look at it and at its entity's limits, plan, act, say in its status how it stands."""

import json
from dataclasses import replace
from typing import Any, Final

from headrace.base.errors import Refusal

from headrace_operator import finalizers, status
from headrace_operator.admin import Admin
from headrace_operator.admin.outcome import Away, Failure
from headrace_operator.belonging import cluster_key, next_look_seconds, standing_of, suspended
from headrace_operator.context import Context
from headrace_operator.crd.quantity import whole_amount
from headrace_operator.crd.quota import Effective, Limits, Named, Quota, QuotaStatus
from headrace_operator.crd.quota import Entity as EntitySpec
from headrace_operator.kinds import CLUSTER, QUOTA, Key, Object
from headrace_operator.outcomes import retry_seconds, verdict_of
from headrace_operator.plan.quota import (
    Action,
    AlterQuota,
    Entity,
    HoldQuota,
    ObservedQuota,
    ReleaseQuota,
    applied,
    needs_cluster,
    plan_quota,
    settled,
)
from headrace_operator.plan.verdict import State, Verdict, reconciling

LIMITS: Final = (
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
    "connection_creation_rate",
)
"""Kafka's keys (QuotaConfig), which are the models' field names too."""
_PICTURE_SECONDS = 1.0


async def reconcile(context: Context, key: Key) -> float | None:
    """Seconds until the next look: changes made with other tools tell nobody."""
    obj = context.store.at(key)
    if obj is None:
        return None
    if not (context.store.complete(CLUSTER) and context.store.complete(QUOTA)):
        return _PICTURE_SECONDS
    quota = Quota.model_validate(obj)
    cluster = cluster_key(quota.metadata, quota.spec.cluster_ref)
    observed = observe(context, obj, quota, cluster)
    look_seconds = next_look_seconds(quota.metadata.uid, context.settings.look_seconds)
    where = observed.standing.cluster_name
    if observed.standing.reachable and suspended(context.store, cluster):
        message = f"Cluster {where} is suspended: nothing of it is changed until its spec.suspend"
        await _report(context, obj, observed, reconciling("Suspended", f"{message} is false."))
        return look_seconds
    if needs_cluster(observed):
        admin: Admin = context.admin
        live = await admin.of(*cluster).describe_quota(observed.entity)
        if isinstance(live, Refusal | Away):
            await _report(context, obj, observed, verdict_of(live, where))
            return retry_seconds(live, look_seconds)
        observed = replace(observed, live=live)
    plan = plan_quota(observed)
    for action in plan.actions:
        done = await _carry_out(context, cluster, obj, action)
        if isinstance(done, Refusal | Away):
            await _report(context, obj, observed, verdict_of(done, where))
            return retry_seconds(done, look_seconds)
        obj, observed = done, applied(observed, action)
    if observed.deleting:
        return None
    if plan.verdict.state is State.READY:
        observed = settled(observed)
    await _report(context, obj, observed, plan.verdict)
    return look_seconds if observed.standing.reachable else None


def observe(context: Context, obj: Object, quota: Quota, cluster: tuple[str, str]) -> ObservedQuota:
    """The resource without the brokers' side of it."""
    metadata = quota.metadata
    claim = (*cluster, json.dumps(obj["spec"]["entity"], sort_keys=True))
    effective = quota.status.effective
    return ObservedQuota(
        standing=standing_of(context.store, QUOTA, metadata, cluster, claim),
        entity=entity_of(quota.spec.entity),
        limits=limits_of(quota.spec.limits),
        deleting=metadata.deletion_timestamp is not None,
        finalizer=finalizers.FINALIZER in metadata.finalizers,
        managed=frozenset(
            name
            for name in LIMITS
            if effective is not None and getattr(effective, name) is not None
        ),
    )


def entity_of(entity: EntitySpec) -> Entity:
    """The entity in Kafka's terms."""
    parts: list[tuple[str, Named | None]] = [
        ("client-id", entity.client_id),
        ("ip", entity.ip),
        ("user", entity.user),
    ]
    return tuple((kind, named.name) for kind, named in parts if named is not None)


def limits_of(limits: Limits) -> dict[str, float]:
    """The limits by Kafka's keys; byte rates are quantities."""
    found = {}
    for name in LIMITS:
        value = getattr(limits, name)
        if value is not None:
            found[name] = float(whole_amount(value) if isinstance(value, str) else value)
    return found


async def _carry_out(
    context: Context, cluster: tuple[str, str], obj: Object, action: Action
) -> Object | Failure:
    """The object as it then stands, or why the brokers did not do it."""
    match action:
        case HoldQuota():
            obj = await finalizers.add(context.kube, obj)
            context.store.put(QUOTA, obj)
        case ReleaseQuota():
            left = await finalizers.remove(context.kube, obj)
            if left is not None:
                context.store.put(QUOTA, left)
                obj = left
        case AlterQuota():
            admin: Admin = context.admin
            failure = await admin.of(*cluster).alter_quota(action)
            if failure is not None:
                return failure
    return obj


async def _report(context: Context, obj: Object, observed: ObservedQuota, verdict: Verdict) -> None:
    says = status.kstatus(verdict.state.value, verdict.reason, verdict.message)
    written = await status.write(context, obj, says, _fields(observed))
    if verdict.state is State.STALLED and written is not obj:
        await context.events.say(obj, verdict.reason, verdict.message, kind="Warning")


def _fields(observed: ObservedQuota) -> dict[str, Any]:
    """What was set from here and not reset yet, with the value it has or last should have."""
    values = {
        name: observed.live.get(name) or observed.limits.get(name)
        for name in LIMITS
        if name in observed.managed
    }
    known = QuotaStatus(effective=Effective(**values) if values else None)
    return known.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"conditions", "observed_generation"}
    )
