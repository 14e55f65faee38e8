"""Objects as the API server gives them become models, and parts of models become objects again."""

from decimal import Decimal
from typing import Any

import pytest
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.quantity import amount, whole_amount
from headrace_operator.crd.quota import Quota
from headrace_operator.crd.topic import Topic
from pydantic import ValidationError

META = {
    "name": "a",
    "namespace": "n",
    "uid": "u-1",
    "generation": 7,
    "resourceVersion": "12",
    "creationTimestamp": "2026-11-24T00:00:00Z",
    "managedFields": [{"manager": "kubectl"}],
}


def cluster(**spec: Any) -> Cluster:
    pools = [{"name": "a", "replicas": 3, "storage": {"size": "10Gi"}}]
    return Cluster.model_validate(
        {"metadata": META, "spec": {"version": "0.1.0", "pools": pools, **spec}}
    )


def test_a_small_cluster_gets_the_defaults() -> None:
    spec = cluster().spec
    assert spec.pools[0].storage.size == "10Gi"
    assert [(one.name, one.type, one.port) for one in spec.listeners] == [
        ("internal", "Internal", 9092)
    ]
    assert spec.etcd.managed is not None and spec.etcd.managed.members == 3
    assert (spec.reclaim_policy, spec.suspend, spec.deletion_protection) == ("Retain", False, False)


def test_metadata_keeps_what_identifies_the_object() -> None:
    meta = cluster().metadata
    assert (meta.uid, meta.generation, meta.resource_version) == ("u-1", 7, "12")
    assert meta.creation_timestamp is not None and meta.deletion_timestamp is None


def test_a_fresh_object_was_not_observed() -> None:
    assert cluster().status.observed_generation == -1


def test_fields_of_a_newer_definition_are_ignored() -> None:
    assert cluster(novelty={"a": 1}).spec.version == "0.1.0"


def test_a_pool_keeps_any_pod_spec() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"tolerations": [{"key": "k"}]}}
    pool = {"name": "a", "replicas": 1, "storage": {"size": 1}, "podTemplate": template}
    read = cluster(pools=[pool]).spec.pools[0]
    assert read.pod_template.spec == {"tolerations": [{"key": "k"}]}
    assert read.pod_template.metadata.labels == {"a": "b"}
    assert read.storage.size == "1"


@pytest.mark.parametrize(
    "spec",
    [
        {"pools": []},
        {"pools": [{"name": "A", "replicas": 1, "storage": {"size": "1Gi"}}]},
        {"pools": [{"name": "a", "replicas": 1, "storage": {"size": "much"}}]},
        {"etcd": {"managed": {"members": 2}}},
        {"listeners": [{"name": "x", "type": "Ingress", "port": 1}]},
    ],
)
def test_what_the_definition_refuses_is_refused_here(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cluster(**spec)


def test_status_becomes_a_document_without_absent_fields() -> None:
    status = {
        "observedGeneration": 3,
        "readyBrokers": 2,
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Waiting",
                "message": "Broker 2 starts.",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-24T00:00:00Z",
            }
        ],
    }
    read = Cluster.model_validate({**cluster().document(), "status": status})
    document = read.status.document()
    assert document["conditions"] == status["conditions"]
    assert document["readyBrokers"] == 2
    assert "clusterId" not in document


def test_a_topic_is_named_after_its_object_unless_it_says_otherwise() -> None:
    spec = {"clusterRef": {"name": "c"}, "partitions": 3}
    assert Topic.model_validate({"metadata": META, "spec": spec}).topic_name == "a"
    spec["topicName"] = "Orders_1"
    assert Topic.model_validate({"metadata": META, "spec": spec}).topic_name == "Orders_1"


def test_a_quota_reads_numbers_and_quantities() -> None:
    quota = Quota.model_validate(
        {
            "metadata": META,
            "spec": {
                "clusterRef": {"name": "c"},
                "entity": {"user": {"name": "alice"}, "clientId": {"default": True}},
                "limits": {
                    "producerByteRate": "10Mi",
                    "consumerByteRate": 5,
                    "requestPercentage": 50,
                },
            },
        }
    )
    limits = quota.spec.limits
    assert whole_amount(limits.producer_byte_rate or "") == 10 * 2**20
    assert (limits.consumer_byte_rate, limits.request_percentage) == ("5", 50.0)
    assert quota.spec.entity.client_id is not None and quota.spec.entity.client_id.default


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("10Gi", str(10 * 2**30)),
        ("500m", "0.5"),
        ("1e6", "1000000"),
        ("1E", "1000000000000000000"),
        ("-1.5Ki", "-1536"),
        (".5", "0.5"),
        ("2.", "2"),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, number: str) -> None:
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1KB", "0x1", "1e", "--1", "1" * 33, "١"])
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 10Gi"):
        amount(text)


def test_a_fraction_of_a_byte_is_a_byte() -> None:
    assert whole_amount("100m") == 1
    assert whole_amount("1500m") == 2
