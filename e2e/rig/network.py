"""The host's side of the network: bridges with the nodes' addresses, kube-proxy and CoreDNS."""

import contextlib
import ipaddress
import socket
from pathlib import Path

from e2e.rig.api import Api
from e2e.rig.binaries import binary
from e2e.rig.layout import (
    BRIDGE_PREFIX,
    CLUSTER_DOMAIN,
    CONTROL_ADDRESS,
    CONTROL_BRIDGE,
    NODES,
    POD_RANGE,
    RIG_LOGS,
    STATE,
)
from e2e.rig.process import Daemon, RigFailed, run

READY_TIMEOUT_S = 30.0
PROXY_HEALTH_PORT = 10256
FORWARD = ["FORWARD", "-s", POD_RANGE, "-j", "ACCEPT"], ["FORWARD", "-d", POD_RANGE, "-j", "ACCEPT"]


def raise_bridges() -> None:
    """Gives the host the addresses of the control plane and of each node; forwards for pods."""
    bridges = [(CONTROL_BRIDGE, CONTROL_ADDRESS), *((n.bridge, n.address) for n in NODES)]
    for bridge, address in bridges:
        run(["ip", "link", "add", bridge, "type", "bridge"])
        run(["ip", "address", "add", f"{address}/32", "dev", bridge])
        run(["ip", "link", "set", bridge, "up"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for rule in FORWARD:
        run(["iptables", "-w", "-I", *rule])


def lower_bridges() -> None:
    """Removes the rig's bridges and its two rules; quiet about what is not there."""
    for rule in FORWARD:
        with contextlib.suppress(RigFailed):
            run(["iptables", "-w", "-D", *rule])
    for path in sorted(Path("/sys/class/net").glob(f"{BRIDGE_PREFIX}[0-9]")):
        run(["ip", "link", "delete", path.name])


def pod_network(number: int) -> dict[str, object]:
    """The CNI configuration of a node: a pair of interfaces a pod, routed by the host.

    Not a bridge: what stays within one would pass by kube-proxy's rules, so a pod could not reach
    a neighbour of its own node through a Service.
    """
    node = NODES[number - 1]
    first, *_, last = ipaddress.ip_network(node.pods).hosts()
    pods = {
        "subnet": node.pods,
        "rangeStart": str(first + 1),
        "rangeEnd": str(last),
        "gateway": node.address,
    }
    plugin = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(node.folder / "ipam"),
            "ranges": [[pods]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": node.name, "plugins": [plugin]}


def start_proxy(api: Api) -> Daemon:
    """kube-proxy for all nodes at once: they share the host's network.

    So a Service with externalTrafficPolicy Local is not told apart by node.
    """
    health = f"{CONTROL_ADDRESS}:{PROXY_HEALTH_PORT}"
    proxy = Daemon(
        "kube-proxy",
        [
            binary("kube-proxy"),
            f"--kubeconfig={api.user('system:kube-proxy', ['system:node-proxier'])}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_RANGE}",
            f"--hostname-override={NODES[0].name}",
            # Leaves the machine's own connection limits alone.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            f"--healthz-bind-address={health}",
            f"--metrics-bind-address={CONTROL_ADDRESS}:10249",
            "--nodeport-addresses=198.18.0.0/16",
            "--iptables-min-sync-period=100ms",
        ],
        RIG_LOGS / "kube-proxy.log",
    )
    proxy.wait_until(lambda: _answers(CONTROL_ADDRESS, PROXY_HEALTH_PORT), READY_TIMEOUT_S)
    return proxy


def start_names(api: Api) -> Daemon:
    """CoreDNS on the control plane's address, where every pod asks."""
    corefile = STATE / "Corefile"
    # Pods that wait for a name that is just being made must not keep its absence for long.
    corefile.write_text(
        f""".:53 {{
  bind {CONTROL_ADDRESS}
  kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
    kubeconfig {api.kubeconfig}
    pods insecure
    ttl 1
  }}
  errors
}}
"""
    )
    names = Daemon("coredns", [binary("coredns"), "-conf", corefile], RIG_LOGS / "coredns.log")
    names.wait_until(lambda: _answers(CONTROL_ADDRESS, 53), READY_TIMEOUT_S)
    return names


def forget_rules() -> None:
    """Removes the chains that kube-proxy left in iptables."""
    with contextlib.suppress(RigFailed):
        run([binary("kube-proxy"), "--cleanup"], timeout_s=60.0)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
