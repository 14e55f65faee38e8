"""`headrace-operator etcd`: save a Cluster's metadata, and bring it back: see examples/restore.md.

Run in the operator's own pod, which its NetworkPolicy admits to etcd and whose role may read the
certificate that etcd asks for.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from headrace_operator import etcd_api
from headrace_operator.access import NoAccess, configuration
from headrace_operator.build import names
from headrace_operator.build.broker import ETCD_PORT
from headrace_operator.build.etcd_restore import member_volume, restore_pod
from headrace_operator.build.facts import Facts
from headrace_operator.build.protection import ETCD_COMPONENT
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.errors import KubeError
from headrace_operator.etcd_api import EtcdFault, EtcdMember
from headrace_operator.kinds import (
    CLUSTER,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    STATEFUL_SET,
    Object,
)
from headrace_operator.kube import Kube
from headrace_operator.settings import DEFAULT_BROKER_IMAGE, DEFAULT_ETCD_IMAGE

_NAMESPACE: Final = click.option("-n", "--namespace", required=True, help="Of the Cluster.")
_KUBECONFIG: Final = click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of the pod's service account.  [default: KUBECONFIG, ~/.kube/config]",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    kube: Kube
    cluster: Cluster
    etcd: ManagedEtcd


@click.group("etcd")
def etcd_commands() -> None:
    """Save a Cluster's metadata in its managed etcd, and bring it back."""


@etcd_commands.command()
@click.argument("cluster")
@_NAMESPACE
@_KUBECONFIG
@click.option(
    "--member", type=click.IntRange(min=0), help="Of this one.  [default: the first that is ready]"
)
def snapshot(cluster: str, namespace: str, kubeconfig: Path | None, member: int | None) -> None:
    """Write a snapshot of the etcd of CLUSTER to the standard output.

    It is whole only where this ends with 0; `etcdutl snapshot status` and a restore check it again.
    """
    if sys.stdout.isatty():
        raise click.UsageError("the snapshot goes to the standard output: redirect that to a file")

    async def save(target: _Target) -> int:
        return await _save(target, range(target.etcd.members) if member is None else (member,))

    size = _run(kubeconfig, namespace, cluster, save)
    click.echo(f"wrote a snapshot of {size} bytes", err=True)


@etcd_commands.command()
@click.argument("cluster")
@_NAMESPACE
@_KUBECONFIG
@click.option("--broker-image", envvar="HEADRACE_BROKER_IMAGE", default=DEFAULT_BROKER_IMAGE)
@click.option("--etcd-image", envvar="HEADRACE_ETCD_IMAGE", default=DEFAULT_ETCD_IMAGE)
def restore_pods(
    cluster: str, namespace: str, kubeconfig: Path | None, broker_image: str, etcd_image: str
) -> None:
    """Print, for `kubectl apply`, what takes a snapshot and makes CLUSTER's etcd of it.

    Only while the Cluster is suspended and etcd's pods have ended.
    """
    facts = Facts(
        broker_image=broker_image, etcd_image=etcd_image, operator_namespace="", brokers=()
    )

    async def render(target: _Target) -> list[Object]:
        return await _restore_objects(target, facts)

    items = _run(kubeconfig, namespace, cluster, render)
    click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


def _run(
    kubeconfig: Path | None,
    namespace: str,
    name: str,
    does: Callable[[_Target], Coroutine[Any, Any, Any]],
) -> Any:
    async def play() -> Any:
        kube = Kube(await configuration(kubeconfig))
        try:
            cluster = Cluster.model_validate(await kube.get(CLUSTER, namespace, name))
            etcd = cluster.spec.etcd.managed
            if etcd is None:
                raise click.ClickException(
                    f"Cluster {namespace}/{name} has an external etcd: whoever runs that saves it"
                )
            return await does(_Target(kube=kube, cluster=cluster, etcd=etcd))
        finally:
            await kube.close()

    try:
        return asyncio.run(play())
    except (NoAccess, KubeError, EtcdFault) as failed:
        raise click.ClickException(str(failed)) from None


async def _save(target: _Target, indexes: Iterable[int]) -> int:
    metadata = target.cluster.metadata
    secret = await target.kube.get(
        SECRET, metadata.namespace, names.etcd_client_certificate(metadata.name)
    )
    member = await _ready_member(target, indexes)
    written = 0
    async for piece in etcd_api.snapshot(member, etcd_api.tls(secret)):
        written += sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return written


async def _ready_member(target: _Target, indexes: Iterable[int]) -> EtcdMember:
    metadata = target.cluster.metadata
    for index in indexes:
        pod_name = names.pod(names.etcd_member(metadata.name, index))
        status = (await target.kube.find(POD, metadata.namespace, pod_name) or {}).get("status", {})
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        if conditions.get("Ready") == "True":
            host = names.etcd_host(metadata.name, metadata.namespace, index)
            return EtcdMember(address=status["podIP"], host=host, port=ETCD_PORT)
    raise click.ClickException(
        f"of Cluster {metadata.namespace}/{metadata.name} no such etcd member is ready"
    )


async def _restore_objects(target: _Target, facts: Facts) -> list[Object]:
    cluster, etcd, kube = target.cluster, target.etcd, target.kube
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    if not cluster.spec.suspend:
        raise click.ClickException(
            f"Cluster {namespace}/{name} is not suspended: set its spec.suspend to true first"
        )
    labels = f"{names.CLUSTER_LABEL}={name},{names.COMPONENT_LABEL}={ETCD_COMPONENT}"
    running = await kube.list_all(POD, namespace, labels=labels)
    if running.items:
        raise click.ClickException(
            f"pod {running.items[0]['metadata']['name']} of etcd is there: scale the"
            f" {STATEFUL_SET.plural} {labels} to 0 first"
        )
    found: list[Object] = []
    for index in range(etcd.members):
        volume = names.etcd_member(name, index)
        if await kube.find(PERSISTENT_VOLUME_CLAIM, namespace, volume) is None:
            found.append(member_volume(cluster, etcd, index, facts))
        found.append(restore_pod(cluster, etcd, index, facts))
    return found
