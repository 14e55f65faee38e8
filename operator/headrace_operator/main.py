"""`headrace-operator`: run the operator, or release what it holds."""

import asyncio
import os
import socket
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from headrace.base.invariant import Bug
from headrace.base.version import VERSION

from headrace_operator import (
    finalizers,
    logs,
    reconcile_cluster,
    reconcile_definition,
    reconcile_quota,
    reconcile_topic,
)
from headrace_operator.access import NoAccess, configuration
from headrace_operator.admin import Admin
from headrace_operator.context import Reconcile
from headrace_operator.elector import stand_down
from headrace_operator.errors import KubeError
from headrace_operator.etcd_commands import etcd_commands
from headrace_operator.kinds import CLUSTER, CRD, QUOTA, TOPIC, Kind
from headrace_operator.kube import Kube
from headrace_operator.runtime import EXIT_FAILED, Runtime
from headrace_operator.settings import DEFAULT_BROKER_IMAGE, DEFAULT_ETCD_IMAGE, Settings

EXIT_BUG: Final = 70
"""EX_SOFTWARE of sysexits.h, as the broker's."""

_Command = TypeVar("_Command", bound=Callable[..., Any])
_COUNT: Final = click.IntRange(min=1)

RECONCILERS: Final[Mapping[Kind, Reconcile]] = {
    CLUSTER: reconcile_cluster.reconcile,
    TOPIC: reconcile_topic.reconcile,
    QUOTA: reconcile_quota.reconcile,
    CRD: reconcile_definition.reconcile,
}


_KUBECONFIG = click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of the pod's service account.  [default: KUBECONFIG, ~/.kube/config]",
)


@click.group()
@click.version_option(VERSION, prog_name="headrace-operator")
def main() -> None:
    """Turns Cluster, Topic and Quota resources into running brokers."""


def _option(
    flag: str, env: str, default: Any, text: str, **more: Any
) -> Callable[[_Command], _Command]:
    return click.option(
        flag, envvar=env, default=default, help=text, show_default=True, show_envvar=True, **more
    )


_OPERATOR_NAMESPACE = _option(
    "--operator-namespace", "POD_NAMESPACE", "headrace-system", "Where the Lease lives."
)
_LEASE_NAME = _option("--lease-name", "HEADRACE_LEASE_NAME", "headrace-operator", "The Lease.")


@main.command()
@_KUBECONFIG
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    envvar="HEADRACE_NAMESPACES",
    show_envvar=True,
    help="Watch this namespace only; may be repeated, or hold several in the variable, with"
    " blanks between.  [default: all, which needs a ClusterRole]",
)
@_OPERATOR_NAMESPACE
@_option("--pod-name", "POD_NAME", socket.gethostname, "This process in the Lease.")
@_LEASE_NAME
@_option("--broker-image", "HEADRACE_BROKER_IMAGE", DEFAULT_BROKER_IMAGE, "Of brokers.")
@_option("--etcd-image", "HEADRACE_ETCD_IMAGE", DEFAULT_ETCD_IMAGE, "Of a managed etcd.")
@_option("--cluster-domain", "HEADRACE_CLUSTER_DOMAIN", "cluster.local", "Of the DNS names.")
@_option(
    "--watch-nodes/--no-watch-nodes",
    "HEADRACE_WATCH_NODES",
    True,
    "Read Nodes and StorageClasses, which needs a ClusterRole.",
)
@_option("--workers", "HEADRACE_WORKERS", 64, "Resources worked on at once.", type=_COUNT)
@_option("--lane-workers", "HEADRACE_LANE_WORKERS", 32, "Of these for one Cluster.", type=_COUNT)
@_option(
    "--sweep-seconds",
    "HEADRACE_SWEEP_SECONDS",
    300.0,
    "Between two complete LISTs.",
    type=click.FloatRange(min=5),
)
@_option(
    "--look-seconds",
    "HEADRACE_LOOK_SECONDS",
    120.0,
    "Between two looks for what others changed in the brokers.",
    type=click.FloatRange(min=1),
)
@_option("--http-port", "HEADRACE_HTTP_PORT", 8080, "/healthz, /readyz, /metrics.", type=int)
@_option(
    "--log-level",
    "HEADRACE_LOG_LEVEL",
    "INFO",
    "Of the JSON logs.",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
)
def run(kubeconfig: Path | None, pod_name: str, **options: Any) -> None:
    """Run the operator until SIGTERM."""
    settings = Settings(
        identity=f"{pod_name}_{uuid.uuid4().hex[:8]}", kubeconfig=kubeconfig, **options
    )
    logs.configure(settings.log_level)
    # kio imports hypothesis wherever that is installed, at its first message: seconds of the loop.
    sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]
    try:
        code = asyncio.run(_run(settings))
    except NoAccess as refused:
        print(f"headrace-operator could not start: {refused}", file=sys.stderr)
        code = EXIT_FAILED
    except Bug as bug:
        lines = "".join(traceback.format_exception(bug))
        print(f"headrace-operator found a bug in itself: {bug!r}\n{lines}", file=sys.stderr)
        code = EXIT_BUG
    # Not sys.exit: a thread of a library that still waits must not keep a process that is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run(settings: Settings) -> int:
    access = await configuration(settings.kubeconfig)
    admin = Admin()
    try:
        return await Runtime(settings, access, RECONCILERS, admin=admin).run()
    finally:
        admin.close()


@main.command()
@_KUBECONFIG
@click.option("--namespace", "namespaces", multiple=True, help="In this one; may be repeated.")
@click.option("--all", "everywhere", is_flag=True, help="In all namespaces.")
@_OPERATOR_NAMESPACE
@_LEASE_NAME
def release_finalizers(
    kubeconfig: Path | None,
    namespaces: tuple[str, ...],
    everywhere: bool,
    operator_namespace: str,
    lease_name: str,
) -> None:
    """Take the operator's finalizer off all Clusters, Topics and Quotas.

    For when the operator goes for good: what they would have cleaned up stays as it is. An
    operator that still runs is kept from acting for half a minute, or it would put them back.
    """
    if bool(namespaces) == everywhere:
        raise click.UsageError("say which: --namespace NAME (may be repeated), or --all")
    try:
        count = asyncio.run(_release(kubeconfig, namespaces, operator_namespace, lease_name))
    except (NoAccess, KubeError) as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(f"released {count} resource{'' if count == 1 else 's'}")


async def _release(
    kubeconfig: Path | None, namespaces: tuple[str, ...], operator_namespace: str, lease_name: str
) -> int:
    kube = Kube(await configuration(kubeconfig))
    try:
        await stand_down(
            kube, operator_namespace, lease_name, by="headrace-operator release-finalizers"
        )
        return await finalizers.release_all(kube, namespaces or (None,))
    finally:
        await kube.close()


main.add_command(etcd_commands)

if __name__ == "__main__":
    main()
