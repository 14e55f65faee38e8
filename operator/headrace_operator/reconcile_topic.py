"""One Topic: look at it and at the brokers' topic, plan, act, say in its status how it stands."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.base.errors import Refusal

from headrace_operator import finalizers, status
from headrace_operator.admin import Admin
from headrace_operator.admin.clusters import ClusterAdmin
from headrace_operator.admin.outcome import Away, Failure
from headrace_operator.admin.settings import TOPIC as TOPIC_RESOURCE
from headrace_operator.admin.settings import SettingsChange
from headrace_operator.belonging import cluster_key, next_look_seconds, standing_of, suspended
from headrace_operator.context import Context
from headrace_operator.crd.topic import Topic, TopicStatus
from headrace_operator.errors import Conflict, NotFound
from headrace_operator.kinds import CLUSTER, TOPIC, Key, Object
from headrace_operator.outcomes import retry_seconds, verdict_of
from headrace_operator.plan.topic import (
    Action,
    AddFinalizer,
    AlterTopicConfig,
    ClaimName,
    CreateTopic,
    DeleteTopic,
    GrowTopic,
    ObservedTopic,
    ReleaseFinalizer,
    TopicPlan,
    applied,
    needs_cluster,
    plan_topic,
    settled,
)
from headrace_operator.plan.verdict import State, Verdict, reconciling

CLAIMED = "Creating"
"""The reason of a condition that says: this topic will be ours. See ClaimName."""
_PICTURE_SECONDS = 1.0


async def reconcile(context: Context, key: Key) -> float | None:
    """Seconds until the next look: changes made with other tools tell nobody."""
    obj = context.store.at(key)
    if obj is None:
        return None
    if not (context.store.complete(CLUSTER) and context.store.complete(TOPIC)):
        return _PICTURE_SECONDS
    topic = Topic.model_validate(obj)
    cluster = cluster_key(topic.metadata, topic.spec.cluster_ref)
    observed = observe(context, topic, cluster)
    look_seconds = next_look_seconds(topic.metadata.uid, context.settings.look_seconds)
    reachable = observed.standing.reachable
    if needs_cluster(observed) and suspended(context.store, cluster):
        await _report(context, obj, topic, observed, _suspended(observed))
        return look_seconds
    if needs_cluster(observed):
        live = await _brokers(context, cluster).describe_topic(
            observed.name, frozenset({*observed.config, *observed.managed})
        )
        if isinstance(live, Refusal | Away):
            await _report(context, obj, topic, observed, _failed(live, observed))
            return retry_seconds(live, look_seconds)
        observed = replace(observed, live=live)
    plan = plan_topic(observed)
    act = _Pass(context, cluster, obj, topic, observed)
    failure = await act.run(plan.actions)
    if act.released:
        return None
    if failure is not None:
        await _report(context, act.obj, topic, act.observed, _failed(failure, act.observed))
        return retry_seconds(failure, look_seconds)
    if observed.deleting and not observed.finalizer:
        return None
    await _report(context, act.obj, topic, settled(act.observed, plan), plan)
    return look_seconds if reachable else None


def observe(context: Context, topic: Topic, cluster: tuple[str, str]) -> ObservedTopic:
    """The resource without the brokers' side of it."""
    metadata, spec, told = topic.metadata, topic.spec, topic.status
    return ObservedTopic(
        standing=standing_of(context.store, TOPIC, metadata, cluster, (*cluster, topic.topic_name)),
        name=topic.topic_name,
        partitions=spec.partitions,
        config=spec.config,
        adoption=spec.adoption,
        drift_policy=spec.drift_policy,
        deletion_policy=spec.deletion_policy,
        deleting=metadata.deletion_timestamp is not None,
        finalizer=finalizers.FINALIZER in metadata.finalizers,
        known_id=UUID(told.topic_id) if told.topic_id else None,
        claimed=any(c.reason == CLAIMED and c.status == "True" for c in told.conditions),
        managed=frozenset(told.managed_config),
        settled=told.applied_generation == metadata.generation,
    )


class _Pass:
    """The actions of one pass, in order; stops at the first that fails."""

    def __init__(
        self,
        context: Context,
        cluster: tuple[str, str],
        obj: Object,
        topic: Topic,
        observed: ObservedTopic,
    ) -> None:
        self.obj = obj
        self.observed = observed
        self.released = False
        self._context = context
        self._cluster = cluster
        self._topic = topic

    async def run(self, actions: tuple[Action, ...]) -> Failure | None:
        for action in actions:
            failure = await self._do(action)
            if failure is not None:
                return failure
        return None

    async def _do(self, action: Action) -> Failure | None:
        before = self.observed
        self.observed = applied(before, action)
        failure = await self._carry_out(action)
        if failure is not None:
            self.observed = before
        return failure

    async def _carry_out(self, action: Action) -> Failure | None:
        brokers = _brokers(self._context, self._cluster)
        match action:
            case AddFinalizer():
                self.obj = await finalizers.add(self._context.kube, self.obj)
                self._context.store.put(TOPIC, self.obj)
            case ReleaseFinalizer():
                await self._release()
            case ClaimName():
                self.obj = await _report(
                    self._context, self.obj, self._topic, self.observed, _claims(self.observed)
                )
            case CreateTopic():
                made = await brokers.create_topic(action)
                if isinstance(made, Refusal | Away):
                    return made
                self.observed = replace(self.observed, live=made, known_id=made.topic_id)
            case GrowTopic():
                return await brokers.grow_topic(action)
            case AlterTopicConfig():
                change = SettingsChange(
                    kind=TOPIC_RESOURCE,
                    name=action.name,
                    set_to=action.set_to,
                    reset=action.reset,
                )
                return await brokers.alter_settings(change)
            case DeleteTopic():
                await self._still_so()
                return await brokers.delete_topic(action.topic_id)
        return None

    async def _release(self) -> None:
        self.released = self.observed.deleting
        left = await finalizers.remove(self._context.kube, self.obj)
        if left is not None:
            self.obj = left
            self._context.store.put(TOPIC, left)

    async def _still_so(self) -> None:
        """Before anything is destroyed: the API server itself says that the resource is going
        and that its policy is Delete. Raises Conflict where our copy was old."""
        metadata = self.obj["metadata"]
        try:
            fresh = await self._context.kube.get(TOPIC, metadata["namespace"], metadata["name"])
        except NotFound as gone:
            raise Conflict(str(gone)) from gone
        same = fresh["metadata"]["uid"] == metadata["uid"]
        going = "deletionTimestamp" in fresh["metadata"]
        if not (same and going and fresh["spec"].get("deletionPolicy") == "Delete"):
            raise Conflict(f"Topic {metadata['namespace']}/{metadata['name']} has changed")


def _brokers(context: Context, cluster: tuple[str, str]) -> ClusterAdmin:
    admin: Admin = context.admin
    return admin.of(*cluster)


def _failed(failure: Failure, observed: ObservedTopic) -> TopicPlan:
    return TopicPlan(verdict=verdict_of(failure, observed.standing.cluster_name))


def _claims(observed: ObservedTopic) -> TopicPlan:
    name, cluster = observed.name, observed.standing.cluster_name
    return TopicPlan(
        verdict=reconciling(CLAIMED, f"Topic {name!r} is being created in Cluster {cluster}.")
    )


def _suspended(observed: ObservedTopic) -> TopicPlan:
    cluster = observed.standing.cluster_name
    return TopicPlan(
        verdict=reconciling(
            "Suspended",
            f"Cluster {cluster} is suspended: nothing of it is changed until"
            " its spec.suspend is false.",
        )
    )


async def _report(
    context: Context, obj: Object, topic: Topic, observed: ObservedTopic, plan: TopicPlan
) -> Object:
    """Write the status where it is news, and then an Event where the resource is stuck."""
    verdict = plan.verdict
    says = [
        *status.kstatus(verdict.state.value, verdict.reason, verdict.message),
        status.Says(
            type="Drifted",
            value=plan.drift is not None,
            reason="ChangedElsewhere" if plan.drift is not None else "InStep",
            message=plan.drift or "Nothing was found changed by others.",
        ),
    ]
    written = await status.write(context, obj, says, _fields(topic, observed, verdict))
    if verdict.state is State.STALLED and written is not obj:
        await context.events.say(obj, verdict.reason, verdict.message, kind="Warning")
    return written


def _fields(topic: Topic, observed: ObservedTopic, verdict: Verdict) -> dict[str, Any]:
    """The status fields: what is known by now, and what was known where nothing new is."""
    told, live = topic.status, observed.live
    told_generation = told.applied_generation
    known = TopicStatus(
        topic_id=str(observed.known_id) if observed.known_id is not None else None,
        topic_name=observed.name,
        partitions=live.partitions if live is not None else told.partitions,
        replication_factor=(
            live.replication_factor if live is not None else told.replication_factor
        ),
        managed_config=tuple(sorted(observed.managed)),
        applied_generation=(
            topic.metadata.generation if verdict.state is State.READY else told_generation
        ),
    )
    return known.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"conditions", "observed_generation"}
    )
