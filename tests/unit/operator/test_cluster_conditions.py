"""What a Cluster's further conditions say, and when they are there at all."""

from dataclasses import replace

import pytest
from headrace_operator.cluster_conditions import conditions_of
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.observed_cluster import MemberHealth, ObservedCluster
from headrace_operator.status import Says

from tests import cluster_world as world


def running(**spec: object) -> ObservedCluster:
    return world.settle(world.fresh(world.cluster(**spec)))[0]


def said(observed: ObservedCluster) -> dict[str, Says]:
    return {one.type: one for one in conditions_of(observed, plan_cluster(observed))}


def test_what_the_spec_does_not_ask_for_has_no_condition() -> None:
    external = {"external": {"endpoints": ["etcd:2379"], "secret": "etcd"}}
    first = world.fresh(world.cluster(etcd=external), etcd_secret_keys=frozenset({"ca.crt"}))
    assert set(said(world.settle(first)[0])) == {"Available"}
    assert set(said(running())) == {"Available", "EtcdHealthy"}


@pytest.mark.parametrize(
    ("policies", "value", "words"),
    [
        (True, True, "cannot be deleted until spec.deletionProtection is false"),
        (False, False, "Apply that file"),
        (None, None, "Its definition can be deleted"),
    ],
)
def test_protection_is_claimed_only_where_it_holds(
    policies: bool | None, value: bool | None, words: str
) -> None:
    observed = running(deletionProtection=True)
    around = replace(observed.surroundings, admission_policies=policies)
    found = said(replace(observed, surroundings=around))["Protected"]
    assert found.value is value and words in found.message


def test_etcd_is_healthy_only_whole_and_without_an_alarm() -> None:
    observed = running()
    assert said(observed)["EtcdHealthy"].value is True
    two = {n: one for n, one in observed.members.items() if n}
    assert said(replace(observed, members=two))["EtcdHealthy"].reason == "MembersAway"
    one = {0: MemberHealth(healthy=True)}
    assert said(replace(observed, members=one))["EtcdHealthy"].reason == "NoMajority"
    full = {**observed.members, 0: MemberHealth(healthy=False, alarm="NOSPACE")}
    alarmed = said(replace(observed, members=full))["EtcdHealthy"]
    assert (alarmed.value, alarmed.reason) == (False, "Alarm")
