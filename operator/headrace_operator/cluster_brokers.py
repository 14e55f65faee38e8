"""What the brokers of a Cluster are asked and told through Kafka's protocol, for its plan."""

import asyncio
from dataclasses import replace
from typing import Final

from headrace.base.errors import Refusal

from headrace_operator.admin.clusters import ClusterAdmin
from headrace_operator.admin.outcome import Away
from headrace_operator.admin.settings import ALL_BROKERS, BROKER, SettingsChange
from headrace_operator.context import Context
from headrace_operator.crd.cluster import Cluster
from headrace_operator.errors import Refused, Unreachable
from headrace_operator.plan.addresses import may_have_addresses
from headrace_operator.plan.cluster_actions import AlterBrokerAddresses, AlterBrokerDefaults
from headrace_operator.plan.membership import members_of
from headrace_operator.plan.observed_cluster import ObservedCluster

ADDRESSES: Final = "advertised.listeners"


async def ask_brokers(context: Context, observed: ObservedCluster) -> ObservedCluster:
    """The observation with what only brokers can tell, where one serves at all."""
    if not any(report.ready for report in observed.reports.values()):
        return observed
    metadata = observed.cluster.metadata
    admin = context.admin.of(metadata.namespace, metadata.name)
    said = await admin.broker_settings()
    defaults = None if isinstance(said, Refusal | Away) else said
    membership = members_of(observed)
    held: dict[int, tuple[str, ...] | None] = {}
    for number in sorted(membership.leaving | membership.poolless):
        found = await admin.partitions_held(number)
        if isinstance(found, Refusal | Away):
            held[number] = None
        else:
            held[number] = tuple(f"{topic}/{n}" for topic, n in found)
    observed = replace(observed, defaults=defaults, held=held)
    if not may_have_addresses(observed):
        return observed
    return replace(observed, own_addresses=await _own_addresses(admin, observed))


async def _own_addresses(admin: ClusterAdmin, observed: ObservedCluster) -> dict[int, str | None]:
    asked = [number for number, report in observed.reports.items() if report.ready]
    answers = await asyncio.gather(*(admin.own_settings(number) for number in asked))
    return {
        number: answer.get(ADDRESSES)
        for number, answer in zip(asked, answers, strict=True)
        if not isinstance(answer, Refusal | Away)
    }


async def alter_addresses(context: Context, cluster: Cluster, action: AlterBrokerAddresses) -> None:
    """Give one broker other addresses. Raises Refused, or Unreachable where it may be done."""
    change = SettingsChange(
        kind=BROKER,
        name=str(action.broker),
        set_to={} if action.value is None else {ADDRESSES: action.value},
        reset=frozenset({ADDRESSES}) if action.value is None else frozenset(),
    )
    metadata = cluster.metadata
    admin = context.admin.of(metadata.namespace, metadata.name)
    failure = await admin.alter_own_settings(action.broker, change)
    if isinstance(failure, Away):
        raise Unreachable(failure.message)
    if isinstance(failure, Refusal):
        raise Refused(f"broker {action.broker} refused its addresses: {failure.message}")


async def alter_defaults(context: Context, cluster: Cluster, action: AlterBrokerDefaults) -> None:
    """Set and reset cluster-wide settings. Raises Refused, or Unreachable where it may be done."""
    change = SettingsChange(kind=BROKER, name=ALL_BROKERS, set_to=action.set_to, reset=action.reset)
    metadata = cluster.metadata
    failure = await context.admin.of(metadata.namespace, metadata.name).alter_settings(change)
    if isinstance(failure, Away):
        raise Unreachable(failure.message)
    if isinstance(failure, Refusal):
        raise Refused(f"spec.config: the brokers refused it: {failure.message}")
