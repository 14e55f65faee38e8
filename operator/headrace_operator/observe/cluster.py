"""Everything that a pass over a Cluster needs to know, read in two rounds.

The first round takes what the store holds under the Cluster's label. The second asks the API server
for every object that the plan would use and that was not there, by name: a label that somebody took
off hides nothing.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.object import annotation
from headrace_operator.context import Context
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.protection import POLICIES
from headrace_operator.errors import NotFound, Refused
from headrace_operator.kinds import (
    ADMISSION_BINDING,
    CONFIG_MAP,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_MONITOR,
    PROMETHEUS_RULE,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    STORAGE_CLASS,
    Key,
    Object,
    key_of,
)
from headrace_operator.observe.etcd import ask_etcd
from headrace_operator.observe.http import read_members, read_reports
from headrace_operator.observe.pods import is_lost, read_pod
from headrace_operator.pki import read_authority, read_certificate
from headrace_operator.plan.cluster import wanted_keys
from headrace_operator.plan.observed_cluster import ObservedCluster, Pod, Surroundings
from headrace_operator.plan.preconditions import storages
from headrace_operator.plan.volume import waits_for_default

_KEPT: Final = (STATEFUL_SET, PERSISTENT_VOLUME_CLAIM, SERVICE, CONFIG_MAP, SECRET)
_VOLUME: Final = PERSISTENT_VOLUME_CLAIM
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_ROUNDS_MAX: Final = 5
"""A volume found by name may change which brokers there are, and so what is looked for."""
_AT_ONCE: Final = 16
"""Requests to the API server at once, for one Cluster."""


async def observe(context: Context, cluster: Cluster) -> ObservedCluster:
    """The Cluster and all that exists of it. Raises KubeError: half an observation is none."""
    observed = ObservedCluster(
        cluster=cluster,
        now=datetime.fromtimestamp(context.clock.wall_ms() / 1000, UTC),
        surroundings=await _surroundings(context, cluster),
        objects=_stored(context, cluster),
        etcd_secret_keys=await _secret_keys(context, cluster),
    )
    observed = await _found_by_name(context, observed)
    observed = await _with_storage_classes(context, _with_certificates(observed))
    pods, addresses = _pods(context, observed)
    name = cluster.metadata.name
    broker_ids = {n: names.broker_of_set(name, n) for n in addresses}
    brokers = {found[1]: addresses[n] for n, found in broker_ids.items() if found is not None}
    indexes = {n: names.member_of(name, n) for n in addresses}
    members = {index: addresses[n] for n, index in indexes.items() if index is not None}
    reports, health = await asyncio.gather(read_reports(brokers), read_members(members))
    observed = replace(observed, pods=pods, reports=reports, members=health, etcd_addresses=members)
    return await ask_etcd(observed)


async def _surroundings(context: Context, cluster: Cluster) -> Surroundings:
    wanted = cluster.spec.monitoring
    asked = [(wanted.pod_monitor, POD_MONITOR), (wanted.prometheus_rule, PROMETHEUS_RULE)]
    kinds = [kind for is_wanted, kind in asked if is_wanted]
    served = [await context.kube.served(kind) for kind in kinds]
    return Surroundings(
        broker_image=context.settings.broker_image,
        etcd_image=context.settings.etcd_image,
        operator_namespace=context.settings.operator_namespace,
        prometheus=bool(served) and all(served),
        admission_policies=await _policies(context, cluster),
    )


async def _policies(context: Context, cluster: Cluster) -> bool | None:
    """Whether what deletionProtection asks for is in force, where that is asked for."""
    if not cluster.spec.deletion_protection or not context.settings.all_namespaces:
        return None
    try:
        for name in POLICIES:
            await context.kube.get_metadata(ADMISSION_BINDING, None, name)
    except NotFound:
        return False
    except Refused:  # a permission of a former chart is no reason to do nothing for a Cluster
        return None
    return True


def _stored(context: Context, cluster: Cluster) -> dict[Key, Object]:
    metadata = cluster.metadata
    found: dict[Key, Object] = {}
    for kind in _KEPT:
        for owner in ((metadata.namespace, metadata.name), metadata.uid):
            for obj in context.store.owned(kind, owner):
                if obj["metadata"].get("namespace") == metadata.namespace:
                    found[key_of(kind, obj)] = obj
    return found


async def _secret_keys(context: Context, cluster: Cluster) -> frozenset[str] | None:
    external = cluster.spec.etcd.external
    if external is None:
        return None
    secret = await context.kube.find(SECRET, cluster.metadata.namespace, external.secret)
    return None if secret is None else frozenset(secret.get("data") or {})


async def _with_storage_classes(context: Context, observed: ObservedCluster) -> ObservedCluster:
    """Read where the spec names one, or where a volume waits for the one that is the default."""
    if not context.settings.watch_nodes:
        return observed
    named = any(storage.class_name is not None for _, storage in storages(observed.cluster))
    if not named and not any(waits_for_default(v) for v in observed.all_of(_VOLUME)):
        return observed
    items = (await context.kube.list_all(STORAGE_CLASS)).items
    return replace(
        observed,
        storage_classes=frozenset(item["metadata"]["name"] for item in items),
        default_class=any(annotation(item, _IS_DEFAULT) == "true" for item in items),
    )


async def _found_by_name(context: Context, observed: ObservedCluster) -> ObservedCluster:
    asked: set[Key] = set()
    for _ in range(_ROUNDS_MAX):
        missing = wanted_keys(observed) - set(observed.objects) - asked
        if not missing:
            break
        asked |= missing
        found = await _get_all(context, sorted(missing, key=str))
        observed = replace(observed, objects={**observed.objects, **found})
    return observed


async def _get_all(context: Context, keys: Iterable[Key]) -> dict[Key, Object]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def get(key: Key) -> tuple[Key, Object | None]:
        async with slots:
            return key, await context.kube.find(key.kind, key.namespace, key.name)

    return {key: obj for key, obj in await asyncio.gather(*map(get, keys)) if obj is not None}


def _with_certificates(observed: ObservedCluster) -> ObservedCluster:
    found = {}
    for obj in observed.all_of(SECRET):
        certificate = read_certificate(obj)
        if certificate is not None:
            found[obj["metadata"]["name"]] = certificate
    ca = observed.find(SECRET, names.etcd_ca(observed.cluster.metadata.name))
    authority = None if ca is None else read_authority(ca)
    return replace(
        observed,
        certificates=found,
        ca_key="" if authority is None else authority.fingerprint,
    )


def _pods(context: Context, observed: ObservedCluster) -> tuple[dict[str, Pod], dict[str, str]]:
    """Pods and the addresses of those that run, by StatefulSet; a pod belongs to it by UID."""
    pods: dict[str, Pod] = {}
    addresses: dict[str, str] = {}
    for stateful_set in observed.all_of(STATEFUL_SET):
        name = stateful_set["metadata"]["name"]
        for obj in context.store.owned(POD, stateful_set["metadata"]["uid"]):
            if obj["metadata"]["name"] != names.pod(name):
                continue
            pods[name] = read_pod(obj, node_lost=_node_lost(context, obj))
            address = (obj.get("status") or {}).get("podIP")
            if address and not pods[name].terminating:
                addresses[name] = address
    return pods, addresses


def _node_lost(context: Context, pod: Object) -> bool:
    node = pod["spec"].get("nodeName")
    if not node or not context.settings.watch_nodes or not context.store.complete(NODE):
        return False
    return is_lost(context.store.get(NODE, "", node))
