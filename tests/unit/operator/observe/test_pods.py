"""Why a pod does not run, in a sentence."""

from typing import Any

import pytest
from headrace_operator.observe.pods import is_lost, read_pod
from headrace_operator.plan.observed_cluster import Blame


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "c-a-0-0", "annotations": {"headrace.io/pod-hash": "h"}, **metadata},
        "spec": {"nodeName": "n1"},
        "status": status,
    }


def waiting(reason: str, **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "because."}}
    return pod(
        {"containerStatuses": [{"name": "headrace", "image": "i:1", "state": state, **more}]}
    )


def test_a_ready_pod() -> None:
    found = read_pod(pod({"conditions": [{"type": "Ready", "status": "True"}]}), node_lost=False)
    assert (found.ready, found.pod_hash, found.failure, found.terminating) == (
        True,
        "h",
        None,
        False,
    )


def test_a_pod_that_ends_is_not_ready() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    found = read_pod(pod(status, deletionTimestamp="now"), node_lost=False)
    assert found.terminating and not found.ready


@pytest.mark.parametrize(
    ("seen", "blame", "words"),
    [
        (waiting("ImagePullBackOff"), Blame.POD, "cannot pull its image i:1: because."),
        (waiting("CreateContainerConfigError"), Blame.POD, "cannot start: because."),
        (
            waiting(
                "CrashLoopBackOff",
                lastState={"terminated": {"exitCode": 2, "message": "x\nno etcd\n"}},
            ),
            Blame.POD,
            "(exit code 2): x\nno etcd",
        ),
        (
            pod(
                {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes",
                        }
                    ]
                }
            ),
            Blame.PLACE,
            "finds no node: 0/3 nodes",
        ),
    ],
)
def test_failures(seen: dict[str, Any], blame: Blame, words: str) -> None:
    failure = read_pod(seen, node_lost=False).failure
    assert failure is not None and failure.blame is blame and words in failure.message


def test_a_container_that_is_being_made_has_not_failed() -> None:
    assert read_pod(waiting("ContainerCreating"), node_lost=False).failure is None


def test_a_pod_on_a_lost_node_is_named_with_its_cure() -> None:
    failure = read_pod(pod({}), node_lost=True).failure
    assert failure is not None
    assert failure.reason == "NodeLost" and "kubectl delete node n1" in failure.message


@pytest.mark.parametrize(
    ("node", "lost"),
    [
        (None, True),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, True),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, False),
        ({"status": {}}, False),
    ],
)
def test_nodes(node: dict[str, Any] | None, lost: bool) -> None:
    assert is_lost(node) is lost
