"""What a Cluster is rendered to: two whole Clusters as files, and what those do not show.

A pod hash that changes here restarts every broker at the next upgrade of the operator. Write the
files anew with `REWRITE=1 pytest tests/unit/operator/build`, and look at the difference.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace.cli.settings_file import settings_of
from headrace.config.table import broker_settings
from headrace_operator.build import names
from headrace_operator.build.cluster import Rendering, render_cluster
from headrace_operator.build.facts import Broker, Facts, image_of_version
from headrace_operator.build.problem import Problem
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import Object

from tests import cluster_world as world

FOLDER = Path(__file__).parent / "rendered"
LISTENERS = [
    {"name": "internal", "type": "Internal", "port": 9092},
    {"name": "out", "type": "NodePort", "port": 9094, "nodePort": 31094},
    {"name": "lb", "type": "LoadBalancer", "port": 9095, "hostTemplate": "b{id}.example.org"},
]
CLUSTERS = {
    "managed": world.cluster(
        world.pool(
            replicas=1,
            zones=["z1"],
            resources={"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}},
            podTemplate={"spec": {"priorityClassName": "high"}},
        ),
        etcd={"managed": {"members": 1, "storage": {"size": "1Gi"}}},
        listeners=LISTENERS,
        config={"num.partitions": "3", "log.retention.ms": "60000"},
        monitoring={"podMonitor": True, "prometheusRule": True},
    ),
    "external": world.cluster(
        world.pool(replicas=1),
        etcd={"external": {"endpoints": ["etcd.example.org:2379"], "secret": "etcd"}},
        reclaimPolicy="Delete",
    ),
}


def facts(cluster: Cluster, **more: Any) -> Facts:
    zones = cluster.spec.pools[0].zones
    return Facts(
        broker_image="headrace/broker:0.9.9",
        etcd_image="headrace/etcd:3.6.16",
        operator_namespace="headrace-system",
        brokers=(Broker(pool=cluster.spec.pools[0], id=0, zone=zones[0] if zones else None),),
        node_ports={"prod-out-0": 30_123},
        etcd_secret_keys=frozenset({"ca.crt", "username", "password"}),
        prometheus=True,
        **more,
    )


def rendering(cluster: Cluster) -> Rendering:
    found = render_cluster(cluster, facts(cluster))
    assert isinstance(found, Rendering), found
    return found


def pod_of(cluster: Cluster) -> Object:
    template: Object = rendering(cluster).brokers[0].stateful_set["spec"]["template"]
    return template


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_objects_are_as_committed(name: str) -> None:
    text = yaml.safe_dump_all(rendering(CLUSTERS[name]).objects(), sort_keys=False)
    file = FOLDER / f"{name}.yaml"
    if os.environ.get("REWRITE"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", CLUSTERS)
def test_pods_are_restricted_and_hold_no_token(name: str) -> None:
    found = rendering(CLUSTERS[name])
    for part in (*found.members, *found.brokers):
        spec = part.stateful_set["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_what_is_set_live_does_not_change_the_pod() -> None:
    one = rendering(world.cluster(world.pool(replicas=1), config={"num.partitions": "3"}))
    two = rendering(
        world.cluster(
            world.pool(replicas=1, storage={"size": "20Gi"}),
            config={"num.partitions": "3", "log.retention.ms": "1"},
        )
    )
    three = rendering(world.cluster(world.pool(replicas=1), config={"num.partitions": "4"}))
    assert one.brokers[0].pod_hash == two.brokers[0].pod_hash != three.brokers[0].pod_hash
    assert two.dynamic == {"log.retention.ms": "1"}


def test_another_version_of_the_operator_changes_no_pod() -> None:
    cluster = world.cluster(world.pool(replicas=1))
    newer = Facts(
        broker_image="headrace/broker:2.0.0",
        etcd_image="headrace/etcd:3.7.0",
        operator_namespace="elsewhere",
        brokers=facts(cluster).brokers,
    )
    after = render_cluster(cluster, newer)
    assert isinstance(after, Rendering)
    assert after.brokers[0].pod_hash == rendering(cluster).brokers[0].pod_hash


def test_the_broker_knows_its_pod_hash() -> None:
    found = rendering(CLUSTERS["managed"]).brokers[0]
    template = found.stateful_set["spec"]["template"]
    [env] = [
        item
        for item in template["spec"]["containers"][0]["env"]
        if item["name"] == "HEADRACE_CONFIG_HASH"
    ]
    assert env["value"] == found.pod_hash == template["metadata"]["annotations"][names.POD_HASH]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"containers": [{"name": "headrace", "image": "x"}]}, "set spec.image instead"),
        ({"containers": [{"name": "headrace", "command": ["sh"]}]}, "command"),
        ({"volumes": [{"name": "data", "emptyDir": {}}]}, "volumes[data]"),
        (
            {"containers": [{"name": "headrace", "ports": [{"containerPort": 9091}]}]},
            "ports[9091]",
        ),
        ({"containers": "x"}, "list of objects"),
        ({"$patch": "replace"}, "$patch"),
    ],
)
def test_what_makes_the_pod_this_brokers_pod_cannot_be_laid_over(
    spec: dict[str, Any], named: str
) -> None:
    cluster = world.cluster(world.pool(replicas=1, podTemplate={"spec": spec}))
    refused = render_cluster(cluster, facts(cluster))
    assert isinstance(refused, Problem) and named in refused.message


def test_an_overlay_merges_as_kubectl_patch_does() -> None:
    overlay = {
        "metadata": {"labels": {"team": "x", "headrace.io/broker-id": "9"}},
        "spec": {
            "terminationGracePeriodSeconds": 90,
            "containers": [
                {"name": "headrace", "env": [{"name": "A", "value": "b"}]},
                {"name": "side", "image": "s"},
            ],
            "volumes": [{"name": "more", "emptyDir": {}}],
            "topologySpreadConstraints": [
                {"topologyKey": "kubernetes.io/hostname", "$patch": "delete"}
            ],
            "securityContext": {"fsGroup": None},
        },
    }
    pod = pod_of(world.cluster(world.pool(replicas=1, podTemplate=overlay)))
    assert pod["metadata"]["labels"]["team"] == "x"
    assert pod["metadata"]["labels"]["headrace.io/broker-id"] == "0"
    spec = pod["spec"]
    assert spec["terminationGracePeriodSeconds"] == 90
    assert [c["name"] for c in spec["containers"]] == ["headrace", "side"]
    assert {"name": "A", "value": "b"} in spec["containers"][0]["env"]
    assert spec["containers"][0]["image"] == "headrace/broker:0.1.0"
    assert [v["name"] for v in spec["volumes"]][-1] == "more"
    assert len(spec["topologySpreadConstraints"]) == 1
    assert "fsGroup" not in spec["securityContext"]


def test_a_zone_stays_required_beside_an_affinity_of_the_overlay() -> None:
    terms = [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
    node = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    overlay = {"spec": {"affinity": {"nodeAffinity": node}}}
    pod = pod_of(world.cluster(world.pool(replicas=1, zones=["z1"], podTemplate=overlay)))
    found = pod["spec"]["affinity"]["nodeAffinity"]
    [term] = found["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    keys = [expression["key"] for expression in term["matchExpressions"]]
    assert keys == ["disk", "topology.kubernetes.io/zone"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("headrace/broker:0.1.0", "headrace/broker:7"),
        ("reg.example.org:5000/h/broker", "reg.example.org:5000/h/broker:7"),
        ("h/broker@sha256:0123", "h/broker:7"),
    ],
)
def test_the_image_of_a_version(image: str, expected: str) -> None:
    assert image_of_version(image, "7") == expected


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_broker_takes_the_settings_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOST_IP", "NODE_NAME", "ETCD_USERNAME"):
        monkeypatch.setenv(variable, "192.0.2.7")
    [broker] = rendering(CLUSTERS[name]).brokers
    [(file, text)] = broker.config_map["data"].items()
    (tmp_path / file).write_text(text)
    settings = broker_settings(settings_of(tmp_path / file, (), {}, {}))
    assert settings.node_id == 0
    assert settings.listeners[0] == "CONTROL://:9091"
