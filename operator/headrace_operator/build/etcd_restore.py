"""Pods that make a member's volume anew from a snapshot, while etcd itself is stopped.

One a member: `receive` waits for the snapshot and sets former data aside, `restore` writes the new.
Source of the flags: `etcdutl snapshot restore --help` of etcd 3.6.16.
"""

from typing import Final

from headrace_operator.build import names
from headrace_operator.build.etcd import (
    DATA_FOLDER,
    bootstrap_flags,
    render_member,
)
from headrace_operator.build.facts import Facts, image_of_version
from headrace_operator.build.pod_parts import container_security, pod_security
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.kinds import Object

COMPONENT: Final = "etcd-restore"
FOLDER: Final = "/restore"
SNAPSHOT: Final = f"{FOLDER}/snapshot"
REVISIONS_SINCE: Final = 100_000_000
"""More changes than can have been made since the snapshot: revisions, which brokers compare, never
go back. That many leave room for twenty restores before 32 bits are full."""
_RECEIVE: Final = f"""until [ -e {FOLDER}/whole ]; do sleep 1; done
cd {DATA_FOLDER}
if [ -e data ]; then mv data "data.before.$(date +%s)"; fi"""


def restore_pod(cluster: Cluster, etcd: ManagedEtcd, index: int, facts: Facts) -> Object:
    """The pod of one member."""
    name = cluster.metadata.name
    member = names.etcd_member(name, index)
    data = {"name": "data", "mountPath": DATA_FOLDER}
    snapshot = {"name": "snapshot", "mountPath": FOLDER}
    receive = {
        "name": "receive",
        "image": cluster.spec.image or image_of_version(facts.broker_image, cluster.spec.version),
        "command": ["sh", "-ec", _RECEIVE],
        "securityContext": container_security(),
        "volumeMounts": [data, snapshot],
    }
    restore = {
        "name": "restore",
        "image": etcd.image or facts.etcd_image,
        "command": restore_command(cluster, etcd, index),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [data, {**snapshot, "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{member}-restore",
            "namespace": cluster.metadata.namespace,
            "labels": {**names.labels(name, COMPONENT), names.MEMBER_LABEL: str(index)},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": name,
            "automountServiceAccountToken": False,
            "securityContext": pod_security(),
            "initContainers": [receive],
            "containers": [restore],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": member}},
                {"name": "snapshot", "emptyDir": {}},
            ],
        },
    }


def restore_command(cluster: Cluster, etcd: ManagedEtcd, index: int) -> list[str]:
    """What makes a member's data of the snapshot."""
    flags = {
        "data-dir": f"{DATA_FOLDER}/data",
        "bump-revision": str(REVISIONS_SINCE),
        **bootstrap_flags(cluster, etcd, index),
    }
    given = [f"--{flag}={value}" for flag, value in flags.items()]
    return ["etcdutl", "snapshot", "restore", SNAPSHOT, "--mark-compacted", *given]


def member_volume(cluster: Cluster, etcd: ManagedEtcd, index: int, facts: Facts) -> Object:
    """The volume of a member, for one that is gone."""
    return render_member(cluster, etcd, index, facts).volume
