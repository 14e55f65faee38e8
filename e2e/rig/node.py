"""One node: containerd and kubelet with folders, addresses and cgroups of their own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from e2e.rig.api import Api
from e2e.rig.binaries import binary
from e2e.rig.layout import CLUSTER_DOMAIN, CONTROL_ADDRESS, RIG_LOGS, Node
from e2e.rig.network import pod_network
from e2e.rig.paths import BIN
from e2e.rig.process import Daemon, RigFailed, run

CGROUPS = Path("/sys/fs/cgroup")
CNI_PLUGINS = Path("/usr/lib/cni")
CONTAINERD_TIMEOUT_S = 30.0
IMAGES_BYTES_MAX = 4 * 2**30
"""Of memory, for a node's images and its containers' own files: about 1 GiB is used. On disk, to
unpack them for three nodes and to remove them again took minutes."""
PAUSE_IMAGE = "localhost/pause:rig"


def start_containerd(node: Node) -> Daemon:
    """The node's container runtime, answering on its socket."""
    for name in ("cni", "root", "state", "kubelet", "logs"):
        (node.folder / name).mkdir(parents=True, exist_ok=True)
    size = f"size={IMAGES_BYTES_MAX},mode=711"
    run(["mount", "-t", "tmpfs", "-o", size, "headrace-rig", node.folder / "root"])
    (node.folder / "cni" / "10.conflist").write_text(json.dumps(pod_network(node.number)))
    config = node.folder / "containerd.toml"
    config.write_text(_containerd_config(node))
    if shutil.which("runc") is None or not (CNI_PLUGINS / "ptp").exists():
        raise RigFailed("runc or the CNI plugins are not installed; .ci/run names the packages")
    for name in ("containerd-shim-runc-v2", "ctr"):
        binary(name)
    # Debian's older shim, where it is installed, must not come first.
    path = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    runtime = Daemon(
        f"containerd of {node.name}",
        [binary("containerd"), "--config", config],
        RIG_LOGS / f"containerd-{node.name}.log",
        {"PATH": path},
    )
    runtime.wait_until(_up(node), CONTAINERD_TIMEOUT_S)
    return runtime


def start_kubelet(node: Node, api: Api) -> Daemon:
    """The node's kubelet, which registers it with its zone."""
    make_cgroup(node)
    serving = api.authority.issue(
        f"kubelet-{node.name}", node.name, hosts=[node.name, node.address]
    )
    config = node.folder / "kubelet.json"
    (node.folder / "resolv.conf").write_text(f"nameserver {CONTROL_ADDRESS}\n")
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": node.address,
        "authentication": {
            "x509": {"clientCAFile": str(api.authority.pair.certificate)},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [CONTROL_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(node.folder / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "podLogsDir": str(node.folder / "logs"),
        "volumePluginDir": str(node.folder / "plugins"),
        # Images come by import and cannot be pulled again: never collect them.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
    }
    config.write_text(json.dumps(settings))
    return Daemon(
        f"kubelet of {node.name}",
        [
            binary("kubelet"),
            f"--config={config}",
            f"--kubeconfig={api.user(f'system:node:{node.name}', ['system:nodes'])}",
            f"--hostname-override={node.name}",
            f"--root-dir={node.folder / 'kubelet'}",
            f"--cert-dir={node.folder / 'pki'}",
            f"--node-ip={node.address}",
            f"--node-labels=topology.kubernetes.io/zone={node.zone}",
        ],
        RIG_LOGS / f"kubelet-{node.name}.log",
    )


def make_cgroup(node: Node) -> None:
    """The node's folder in every cgroup hierarchy, with all CPUs and memory nodes.

    Knows cgroup v1 alone, which is what the test machines have. Raises RigFailed elsewhere.
    """
    if not (CGROUPS / "cpuset").is_dir():
        raise RigFailed(
            "this machine has cgroup v2, which the rig does not know: give the kubeconfig of"
            " another Kubernetes (kind, k3d) in E2E_KUBECONFIG"
        )
    for hierarchy in hierarchies():
        (hierarchy / node.cgroup).mkdir(exist_ok=True)
    cpuset = CGROUPS / "cpuset"
    for name in ("cpuset.cpus", "cpuset.mems"):
        (cpuset / node.cgroup / name).write_text((cpuset / name).read_text())


def hierarchies() -> list[Path]:
    """Every mounted cgroup hierarchy."""
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def _up(node: Node) -> Callable[[], bool]:
    def up() -> bool:
        try:
            ctr(node, "version")
        except RigFailed:
            return False
        return True

    return up


def ctr(node: Node, *arguments: str, timeout_s: float = 60.0) -> str:
    """Runs containerd's own client on a node, in the namespace of its kubelet."""
    command = [binary("ctr"), "-a", str(node.socket), "-n", "k8s.io", *arguments]
    return run(command, timeout_s=timeout_s)


def _containerd_config(node: Node) -> str:
    folder = node.folder
    return f"""version = 3
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{node.socket}"
[ttrpc]
address = "{folder}/ttrpc.sock"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE the kernel refuses a lower score, and runc gives up.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PLUGINS}"]
conf_dir = "{folder}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"""
