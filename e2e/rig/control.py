"""kube-controller-manager and kube-scheduler beside the rig's API server."""

from e2e.rig.api import Api
from e2e.rig.binaries import binary
from e2e.rig.layout import CONTROL_ADDRESS, POD_RANGE, RIG_LOGS
from e2e.rig.process import Daemon


def api_arguments() -> list[str]:
    """What an API server with nodes needs over one alone: a place in the Service `kubernetes`."""
    return ["--endpoint-reconciler-type=lease", f"--advertise-address={CONTROL_ADDRESS}"]


def start_controllers(api: Api) -> Daemon:
    """kube-controller-manager; volumes are made by the rig's own provisioner, not by it."""
    authority = api.authority.pair
    return Daemon(
        "kube-controller-manager",
        [
            binary("kube-controller-manager"),
            f"--kubeconfig={api.user('system:kube-controller-manager')}",
            f"--service-account-private-key-file={api.service_account_key}",
            f"--root-ca-file={authority.certificate}",
            "--use-service-account-credentials",
            f"--cluster-cidr={POD_RANGE}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
        RIG_LOGS / "kube-controller-manager.log",
    )


def start_scheduler(api: Api) -> Daemon:
    """kube-scheduler."""
    return Daemon(
        "kube-scheduler",
        [
            binary("kube-scheduler"),
            f"--kubeconfig={api.user('system:kube-scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
        RIG_LOGS / "kube-scheduler.log",
    )
