"""A managed etcd's care: which member is replaced when, and when room is given back."""

from dataclasses import replace

import pytest
from headrace_operator.build.etcd import peer_url
from headrace_operator.kinds import PERSISTENT_VOLUME_CLAIM
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.cluster_actions import Apply, Defragment, DisarmAlarm, ReplaceMember
from headrace_operator.plan.observed_cluster import EtcdSize, MemberHealth, ObservedCluster
from headrace_operator.plan.verdict import State

from tests import cluster_world as world

MIB = 2**20
FULL = MemberHealth(healthy=False, alarm="NOSPACE")


def running(members: int = 3) -> ObservedCluster:
    etcd = {"managed": {"members": members, "storage": {"size": "1Gi"}}}
    observed, plan = world.settle(world.fresh(world.cluster(etcd=etcd)))
    assert plan.verdict.state is State.READY, plan.verdict
    return observed


def sized(observed: ObservedCluster, *sizes: tuple[int, int], leader: int = 0) -> ObservedCluster:
    """With these (MiB in all, MiB in use) by member."""
    told = {
        n: EtcdSize(total_bytes=all_ * MIB, in_use_bytes=used * MIB, leads=n == leader)
        for n, (all_, used) in enumerate(sizes)
    }
    return replace(observed, etcd_sizes=told)


def volumes_made(observed: ObservedCluster) -> list[str]:
    return [
        action.object["metadata"]["name"]
        for action in plan_cluster(observed).actions
        if isinstance(action, Apply) and action.object["kind"] == PERSISTENT_VOLUME_CLAIM.name
    ]


def test_a_lost_member_is_taken_out_and_counted_anew_before_it_gets_a_volume() -> None:
    lost = world.lose_member(running(), 1)
    plan = plan_cluster(lost)
    url = peer_url(lost.cluster, 1)
    assert plan.actions == (ReplaceMember(index=1, peer_url=url, former=1),)
    assert (plan.verdict.state, plan.verdict.reason) == (State.RECONCILING, "EtcdMemberReplaced")
    counted = world.applied(lost, plan.actions)
    assert volumes_made(lost) == [] and volumes_made(counted) == ["prod-etcd-1"]
    assert plan_cluster(counted).verdict.reason == "EtcdMemberReplaced"
    back, plan = world.settle(counted)
    assert plan.verdict.state is State.READY and len(back.members) == 3


def test_a_replacement_that_broke_off_goes_on_with_counting_the_new_member() -> None:
    lost = world.lose_member(running(), 1)
    kept = tuple(one for one in lost.etcd_listed or () if one.id != 1)
    [action] = plan_cluster(replace(lost, etcd_listed=kept)).actions
    assert isinstance(action, ReplaceMember) and action.former is None


@pytest.mark.parametrize(
    ("what", "reason"),
    [("not asked", "EtcdMemberLost"), ("another away", "EtcdMemberLost"), ("two", "EtcdLost")],
)
def test_no_member_is_replaced_without_all_the_others(what: str, reason: str) -> None:
    lost = world.lose_member(running(), 1)
    if what == "not asked":
        lost = replace(lost, etcd_listed=None)
    if what == "another away":
        lost = replace(lost, members={0: MemberHealth(healthy=True)})
    if what == "two":
        lost = world.lose_member(lost, 2)
    plan = plan_cluster(lost)
    assert plan.actions == ()
    assert (plan.verdict.state, plan.verdict.reason) == (State.STALLED, reason)


def test_the_only_member_is_never_begun_anew() -> None:
    plan = plan_cluster(world.lose_member(running(members=1), 0))
    assert plan.actions == () and plan.verdict.reason == "EtcdLost"
    assert "restore a snapshot" in plan.verdict.message


def test_half_empty_members_are_defragmented_one_at_a_time_the_leader_last() -> None:
    observed = sized(running(), (200, 50), (200, 150), (200, 50), leader=0)
    order = []
    for _ in range(2):
        plan = plan_cluster(observed)
        assert plan.verdict.state is State.READY
        order += list(plan.actions)
        observed = world.applied(observed, plan.actions)
    assert order == [Defragment(index=2), Defragment(index=0)]
    assert plan_cluster(observed).actions == ()


def test_a_small_database_or_a_member_away_is_left_alone() -> None:
    assert plan_cluster(sized(running(), (60, 1), (60, 1), (60, 1))).actions == ()
    observed = sized(running(), (200, 50), (200, 50), (200, 50))
    away = replace(observed, members={n: observed.members[n] for n in (0, 1)})
    assert plan_cluster(away).actions == ()
    untold = replace(observed, etcd_sizes={0: observed.etcd_sizes[0]})
    assert plan_cluster(untold).actions == ()


def test_an_etcd_without_room_is_defragmented_and_disarmed() -> None:
    """Its quota is 512 MiB, half of the volume."""
    full = replace(running(), members=dict.fromkeys(range(3), FULL))
    observed = sized(full, (513, 300), (300, 300), (513, 300), leader=2)
    assert plan_cluster(observed).verdict.reason == "EtcdAlarm"
    done = []
    for _ in range(3):
        actions = plan_cluster(observed).actions
        done += list(actions)
        observed = world.applied(observed, actions)
    assert done == [Defragment(index=0), Defragment(index=2), DisarmAlarm()]
    assert plan_cluster(observed).actions == ()


def test_an_etcd_that_needs_more_room_says_so_and_is_not_paused_for_nothing() -> None:
    full = replace(running(), members=dict.fromkeys(range(3), FULL))
    plan = plan_cluster(sized(full, (513, 500), (513, 500), (513, 500)))
    assert plan.actions == () and "storage.size" in plan.verdict.message


def test_members_that_differ_are_not_touched() -> None:
    wrong = {0: MemberHealth(healthy=False, alarm="CORRUPT")}
    observed = running()
    plan = plan_cluster(replace(observed, members={**observed.members, **wrong}))
    assert plan.actions == () and "do not hold the same" in plan.verdict.message


def test_a_member_whose_volume_somebody_deletes_waits_for_its_pod_to_end() -> None:
    observed = running()
    volume = world.get(observed, PERSISTENT_VOLUME_CLAIM, "prod-etcd-1")
    metadata = {**volume["metadata"], "deletionTimestamp": "2026-11-24T00:00:00Z"}
    plan = plan_cluster(world.put(observed, {**volume, "metadata": metadata}))
    assert (plan.actions, plan.verdict.reason) == ((), "VolumeDeleted")
    assert "it is then replaced" in plan.verdict.message


def test_a_volume_whose_data_is_gone_is_named() -> None:
    observed = running()
    volume = world.get(observed, PERSISTENT_VOLUME_CLAIM, "prod-etcd-1")
    spec = {**volume["spec"], "volumeName": "pv-7"}
    gone = {**volume, "spec": spec, "status": {"phase": "Lost"}}
    plan = plan_cluster(world.put(observed, gone))
    assert (plan.verdict.state, plan.verdict.reason) == (State.STALLED, "VolumeLost")
    assert "PersistentVolume pv-7 of volume prod-etcd-1 is gone" in plan.verdict.message
