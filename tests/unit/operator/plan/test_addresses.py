"""Addresses of load balancers: told to brokers while they run, and never by a restart."""

from dataclasses import replace
from typing import Any

from headrace_operator.cluster_conditions import conditions_of
from headrace_operator.kinds import SERVICE, STATEFUL_SET
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.cluster_actions import AlterBrokerAddresses, Drop, Restart
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.verdict import State

from tests import cluster_world as world

INTERNAL = {"name": "internal", "type": "Internal", "port": 9092}
BALANCED = {"name": "lb", "type": "LoadBalancer", "port": 9095}
NODES = {"name": "out", "type": "NodePort", "port": 9094}
POOL = world.pool(replicas=1)
INSIDE = "prod-a-0-0.prod-brokers.kafka.svc"


def running(*listeners: Any) -> ObservedCluster:
    wanted = world.cluster(POOL, listeners=[INTERNAL, *listeners])
    observed, plan = world.settle(world.fresh(wanted))
    assert plan.verdict.state is State.READY, plan.verdict
    return replace(observed, own_addresses={0: None})


def balanced(observed: ObservedCluster, **address: str) -> ObservedCluster:
    """Once the load balancer of broker 0 has an address."""
    service = world.get(observed, SERVICE, "prod-lb-0")
    return world.put(
        observed, {**service, "status": {"loadBalancer": {"ingress": [address] if address else []}}}
    )


def settings_file(observed: ObservedCluster) -> str:
    mounted = world.get(observed, STATEFUL_SET, "prod-a-0")["spec"]["template"]["spec"]["volumes"]
    [name] = [volume["configMap"]["name"] for volume in mounted if "configMap" in volume]
    found: str = next(
        obj["data"]["broker.properties"]
        for key, obj in observed.objects.items()
        if key.name == name and "data" in obj
    )
    return found


def test_a_broker_listens_before_its_address_is_known_and_is_told_it_without_a_restart() -> None:
    observed = running(BALANCED)
    assert "LB://:9095" in settings_file(observed)
    assert plan_cluster(observed).actions == ()
    given = balanced(observed, hostname="lb.example.org")
    value = f"CONTROL://{INSIDE}:9091,INTERNAL://{INSIDE}:9092,LB://lb.example.org:9095"
    actions = plan_cluster(given).actions
    assert actions == (AlterBrokerAddresses(broker=0, value=value),)
    told = world.applied(given, actions)
    assert plan_cluster(told).actions == ()
    moved = plan_cluster(balanced(told, ip="203.0.113.9")).actions
    assert [action.value for action in moved if isinstance(action, AlterBrokerAddresses)] == [
        value.replace("lb.example.org", "203.0.113.9")
    ]
    gone = plan_cluster(balanced(told)).actions
    assert gone == (AlterBrokerAddresses(broker=0, value=None),), "back to its file"


def test_a_broker_that_did_not_answer_is_told_nothing() -> None:
    given = balanced(running(BALANCED), ip="203.0.113.9")
    assert plan_cluster(replace(given, own_addresses={})).actions == ()


def test_node_ports_beside_it_keep_the_address_of_the_node() -> None:
    observed = balanced(running(BALANCED, NODES), ip="fd00::9")
    assert plan_cluster(observed).actions == (), "not while the node is unknown"
    pods = {name: replace(pod, node_address="fd00::1") for name, pod in observed.pods.items()}
    [action] = plan_cluster(replace(observed, pods=pods)).actions
    port = world.get(observed, SERVICE, "prod-out-0")["spec"]["ports"][0]["nodePort"]
    assert isinstance(action, AlterBrokerAddresses) and action.value is not None
    assert f"LB://[fd00::9]:9095,OUT://[fd00::1]:{port}" in action.value


def test_a_listener_that_is_taken_out_leaves_no_address_behind() -> None:
    told = balanced(running(BALANCED), ip="203.0.113.9")
    told = world.applied(told, plan_cluster(told).actions)
    without = world.respecified(told, world.cluster(POOL, listeners=[INTERNAL]))
    actions = plan_cluster(without).actions
    assert AlterBrokerAddresses(broker=0, value=None) in actions
    assert any(isinstance(action, Restart) for action in actions), "it listens no more"
    assert not any(isinstance(action, Drop) for action in actions), "its Service goes at the end"
    _, plan = world.settle(without)
    assert plan.verdict.state is State.READY


def test_a_load_balancer_that_does_not_come_is_said_and_holds_nothing_up() -> None:
    observed = running(BALANCED)
    plan = plan_cluster(observed)
    said = {one.type: one for one in conditions_of(observed, plan)}["AddressesKnown"]
    assert (said.value, said.reason) == (False, "LoadBalancerPending")
    assert "Service prod-lb-0 an address" in said.message
    assert plan.verdict.state is State.READY
