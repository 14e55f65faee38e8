"""Upgrading the operator restarts no broker: pod hashes are as committed, whatever build it is.

`pod_hashes.json` has the hash of each pod of several Clusters. A change of it restarts pods at the
next upgrade of the operator in every Kubernetes that has such a Cluster: write it anew with
`REWRITE=1 pytest tests/unit/operator/build` only where that is meant, and say so in CHANGELOG.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from headrace.base.version import VERSION
from headrace_operator.build.cluster import Rendering, render_cluster
from headrace_operator.build.facts import Broker, Facts
from headrace_operator.crd.cluster import Cluster

from e2e.kubernetes.cluster_checks import CASES
from tests import cluster_world as world

FILE = Path(__file__).parent / "pod_hashes.json"
OTHER_BUILD = "7.8.9"
CLUSTERS = {
    **{name: world.cluster(**{"config": {}, **spec}) for name, spec in CASES.items()},
    "external etcd with a password": world.cluster(
        etcd={"external": {"endpoints": ["a.example.org:2379"], "secret": "etcd"}}
    ),
    "another image": world.cluster(image="registry.example.org/broker@sha256:" + "0" * 64),
}


def rendered(cluster: Cluster, version: str = VERSION) -> Rendering:
    """As the operator of that version renders it, with its own default image."""
    pools = cluster.spec.pools
    brokers = [
        Broker(
            pool=pool, id=10 * p + n, zone=pool.zones[n % len(pool.zones)] if pool.zones else None
        )
        for p, pool in enumerate(pools)
        for n in range(pool.replicas)
    ]
    facts = Facts(
        broker_image=f"headrace/broker:{version}",
        etcd_image="headrace/etcd:3.6.16",
        operator_namespace="headrace-system",
        brokers=tuple(brokers),
        node_ports={f"prod-out-{broker.id}": 30_000 + broker.id for broker in brokers},
        etcd_secret_keys=frozenset({"ca.crt", "username", "password"}),
    )
    found = render_cluster(cluster, facts)
    assert isinstance(found, Rendering), found
    return found


def hashes(found: Rendering) -> dict[str, str]:
    return {
        part.stateful_set["metadata"]["name"]: part.pod_hash
        for part in (*found.members, *found.brokers)
    }


def test_the_pod_hashes_are_as_committed() -> None:
    found = {name: hashes(rendered(cluster)) for name, cluster in CLUSTERS.items()}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if os.environ.get("REWRITE"):
        FILE.write_text(text)
    assert text == FILE.read_text()


def test_the_operators_version_is_in_no_pod() -> None:
    for name, cluster in CLUSTERS.items():
        other = cluster.model_copy(
            update={"spec": cluster.spec.model_copy(update={"version": "5.6.7"})}
        )
        found = rendered(other, OTHER_BUILD)
        parts = [part.stateful_set["spec"]["template"] for part in (*found.members, *found.brokers)]
        text = yaml.safe_dump(parts)
        assert "5.6.7" in text or cluster.spec.image, name
        assert OTHER_BUILD not in text and VERSION not in text, name


def test_another_build_renders_the_same_pods() -> None:
    """A process of its own, in which every part of the program sees the other version."""
    code = (
        "import json; from headrace.base import version; version.VERSION = "
        f"{OTHER_BUILD!r}\n"
        "from headrace_operator.settings import Settings\n"
        "from tests.unit.operator.build.test_pod_hashes import CLUSTERS, hashes, rendered\n"
        f"assert Settings().broker_image.endswith(':{OTHER_BUILD}')\n"
        "print(json.dumps({n: hashes(rendered(c, version.VERSION)) for n, c in CLUSTERS.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(FILE.read_text())


def test_a_change_of_version_or_setting_shows_in_every_brokers_hash() -> None:
    cluster = CLUSTERS["settings"]
    before = hashes(rendered(cluster))
    for change in ({"version": "0.2.0"}, {"config": {"num.partitions": "4"}}):
        spec = cluster.spec.model_copy(update=change)
        after = hashes(rendered(cluster.model_copy(update={"spec": spec})))
        changed = {name for name, pod_hash in after.items() if pod_hash != before[name]}
        assert changed == {name for name in before if "-etcd-" not in name}


def test_another_etcd_restarts_etcd_alone() -> None:
    cluster = CLUSTERS["smallest"]
    found = rendered(cluster)
    facts = Facts(
        broker_image=f"headrace/broker:{VERSION}",
        etcd_image="headrace/etcd:3.7.0",
        operator_namespace="headrace-system",
        brokers=tuple(part.broker for part in found.brokers),
    )
    after = render_cluster(cluster, facts)
    assert isinstance(after, Rendering)
    before = hashes(found)
    changed = {name for name, pod_hash in hashes(after).items() if pod_hash != before[name]}
    assert changed == {name for name in before if "-etcd-" in name}
