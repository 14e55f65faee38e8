"""The plan of a Cluster, situation by situation."""

from dataclasses import replace
from datetime import timedelta

from headrace_operator.build import names
from headrace_operator.build.etcd import etcd_ca_secret
from headrace_operator.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    STATEFUL_SET,
)
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.cluster_actions import (
    AlterBrokerDefaults,
    Apply,
    ClusterAction,
    Drop,
    IssueCertificates,
    Restart,
)
from headrace_operator.plan.observed_cluster import Blame, Failure, MemberHealth, ObservedCluster
from headrace_operator.plan.verdict import State

from tests import cluster_world as world


def running(**spec: object) -> ObservedCluster:
    """Three brokers and three etcd members that serve."""
    observed, plan = world.settle(world.fresh(world.cluster(**spec)))
    assert plan.verdict.state is State.READY, plan.verdict
    return observed


def restarted(actions: tuple[ClusterAction, ...]) -> list[str]:
    return [a.object["metadata"]["name"] for a in actions if isinstance(a, Restart)]


def test_a_new_cluster_gets_everything_in_one_pass() -> None:
    actions = plan_cluster(world.fresh(world.cluster())).actions
    made = {a.object["metadata"]["name"] for a in actions if isinstance(a, Apply)}
    assert isinstance(actions[0], IssueCertificates)
    assert made >= {"prod", "prod-brokers", "prod-bootstrap", "prod-a-0", "prod-etcd-2"}
    assert made >= {"prod-broker-0", "prod-broker-1", "prod-broker-2"}


def test_brokers_wait_for_the_node_port_that_they_advertise() -> None:
    listeners = [
        {"name": "internal", "type": "Internal", "port": 9092},
        {"name": "out", "type": "NodePort", "port": 9094},
    ]
    first = world.fresh(world.cluster(listeners=listeners))
    plan = plan_cluster(first)
    assert (plan.verdict.state, plan.verdict.reason) == (State.RECONCILING, "Pending")
    second = world.applied(first, plan.actions)
    made = {
        a.object["metadata"]["name"] for a in plan_cluster(second).actions if isinstance(a, Apply)
    }
    assert {"prod-a-0", "prod-a-1", "prod-a-2"} <= made


def test_a_bad_setting_stalls_before_any_pod_restarts() -> None:
    observed = running()
    for key, value, word in (
        ("num.partitons", "3", "num.partitions"),
        ("num.partitions", "many", "number"),
        ("node.id", "3", "operator itself"),
    ):
        changed = world.respecified(observed, world.cluster(config={key: value}))
        plan = plan_cluster(changed)
        assert plan.actions == ()
        assert (plan.verdict.state, plan.verdict.reason) == (State.STALLED, "InvalidConfig")
        assert key in plan.verdict.message and word in plan.verdict.message
    assert plan_cluster(world.respecified(observed, world.cluster())).verdict.state is State.READY


def test_a_static_setting_rolls_one_broker_at_a_time() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    order = []
    while names_ := restarted((plan := plan_cluster(observed)).actions):
        assert plan.verdict.state is State.RECONCILING
        order += names_
        observed = world.applied(observed, plan.actions)
        assert plan_cluster(observed).actions == ()
        observed = world.started(observed, only=names_)
    assert order == ["prod-a-0", "prod-a-1", "prod-a-2"]
    assert world.settle(observed)[1].verdict.state is State.READY


def test_the_next_broker_waits_until_the_last_one_has_registered_again() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    before = observed.reports[0]
    observed = world.applied(observed, plan_cluster(observed).actions)
    observed = world.started(observed, only=["prod-a-0"])
    new = observed.reports[0]
    for late in (replace(new, epoch=before.epoch), replace(new, config_hash="old"), None):
        reports = {k: v for k, v in observed.reports.items() if k != 0}
        seen = replace(observed, reports=reports if late is None else {**reports, 0: late})
        plan = plan_cluster(seen)
        assert plan.actions == () and "roker 0" in plan.verdict.message
    assert restarted(plan_cluster(observed).actions) == ["prod-a-1"]


def test_the_first_broker_that_fails_stops_the_roll_and_a_mended_spec_goes_on_from_it() -> None:
    good = running()
    observed = world.respecified(good, world.cluster(image="headrace/broker:typo"))
    observed = world.applied(observed, plan_cluster(observed).actions)
    observed = world.started(observed, only=["prod-a-0"])
    pull = Failure(blame=Blame.POD, reason="ImagePullBackOff", message="Pod 0 has no image.")
    broken = replace(observed.pods["prod-a-0"], ready=False, failure=pull)
    reports = {k: v for k, v in observed.reports.items() if k != 0}
    observed = replace(observed, pods={**observed.pods, "prod-a-0": broken}, reports=reports)
    plan = plan_cluster(observed)
    assert plan.actions == ()
    assert (plan.verdict.state, plan.verdict.reason) == (State.STALLED, "ImagePullBackOff")
    assert "The roll stops here: 2 pods keep the former settings." in plan.verdict.message
    mended = world.respecified(observed, world.cluster(image="headrace/broker:good"))
    assert restarted(plan_cluster(mended).actions) == ["prod-a-0"]
    assert world.settle(mended)[1].verdict.state is State.READY


def test_a_broker_that_serves_nothing_goes_first_unless_the_newest_template_broke_one() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    away = replace(observed.pods["prod-a-2"], ready=False)
    observed = replace(observed, pods={**observed.pods, "prod-a-2": away})
    assert restarted(plan_cluster(observed).actions) == ["prod-a-2"]


def test_a_spec_that_changes_in_the_middle_of_a_roll_goes_on_with_the_broker_under_way() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    first = world.applied(observed, plan_cluster(observed).actions)
    first = world.started(first, only=["prod-a-0"])
    second = world.applied(first, plan_cluster(first).actions)
    changed = world.respecified(second, world.cluster(config={"num.partitions": "6"}))
    assert restarted(plan_cluster(changed).actions) == ["prod-a-1"]


def test_no_serving_broker_is_restarted_while_another_is_away() -> None:
    observed = running()
    lost = Failure(blame=Blame.PLACE, reason="NodeLost", message="Node n1 does not answer.")
    away = replace(observed.pods["prod-a-1"], ready=False, failure=lost)
    observed = replace(observed, pods={**observed.pods, "prod-a-1": away})
    observed = world.respecified(observed, world.cluster(config={"num.partitions": "5"}))
    first = plan_cluster(observed)
    assert restarted(first.actions) == ["prod-a-1"]
    second = plan_cluster(world.applied(observed, first.actions))
    assert second.actions == ()
    assert second.verdict.reason == "NodeLost"


def test_lowering_replicas_deletes_nothing_and_names_what_the_broker_holds() -> None:
    observed = world.respecified(running(), world.cluster(world.pool(replicas=2)))
    held = tuple(f"orders/{n}" for n in range(14))
    plan = plan_cluster(replace(observed, held={2: held}))
    assert plan.actions == ()
    assert plan.verdict.state is State.STALLED
    assert plan.verdict.message.startswith(
        "broker 2 still holds 14 partitions (orders/0, orders/1, orders/2, ...)"
    )
    assert plan_cluster(world.respecified(observed, world.cluster())).verdict.state is State.READY


def test_a_broker_that_is_to_go_stays_reachable_and_gets_new_settings() -> None:
    listeners = [
        {"name": "internal", "type": "Internal", "port": 9092},
        {"name": "out", "type": "NodePort", "port": 9094},
    ]
    observed = running(listeners=listeners)
    lowered = world.cluster(world.pool(replicas=2), listeners=listeners)
    assert plan_cluster(world.respecified(observed, lowered)).actions == ()
    changed = world.cluster(
        world.pool(replicas=2), listeners=listeners, config={"num.partitions": "5"}
    )
    after, _ = world.settle(world.respecified(observed, changed))
    hashes = {r.broker_id: r.config_hash for r in after.reports.values()}
    assert all(hashes[n] != observed.reports[n].config_hash for n in (0, 1, 2))


def test_settings_files_stay_while_brokers_restart() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    observed = world.applied(observed, plan_cluster(observed).actions)
    before = {obj["metadata"]["name"] for obj in observed.all_of(CONFIG_MAP)}
    assert len(before) == 5
    plan = plan_cluster(world.started(observed, only=["prod-a-0"]))
    assert not any(isinstance(action, Drop) for action in plan.actions)


def test_the_spec_says_which_broker_goes_and_a_removed_pool_stays() -> None:
    two = [world.pool(replicas=3), world.pool("b", 1)]
    observed, _ = world.settle(world.fresh(world.cluster(*two)))
    named = world.cluster(world.pool(replicas=2, remove=[1]), world.pool("b", 1))
    plan = plan_cluster(world.respecified(observed, named))
    assert plan.membership is not None and plan.membership.leaving == {1}
    gone = plan_cluster(world.respecified(observed, world.cluster(world.pool(replicas=3))))
    assert gone.membership is not None and gone.membership.poolless == {3}
    assert gone.actions == () and gone.verdict.message.startswith("broker 3 ")


def test_an_id_is_not_given_away_while_its_volume_exists() -> None:
    observed, _ = world.settle(
        world.fresh(world.cluster(world.pool(replicas=2), world.pool("b", 1)))
    )
    grown = world.cluster(world.pool(replicas=3), world.pool("b", 1))
    plan = plan_cluster(world.respecified(observed, grown))
    assert plan.membership is not None
    assert {b.id: b.pool.name for b in plan.membership.brokers} == {
        0: "a",
        1: "a",
        2: "b",
        3: "a",
    }


def test_a_cluster_that_was_deleted_and_applied_again_finds_its_brokers() -> None:
    zoned = world.pool(zones=["z1", "z2"])
    observed, _ = world.settle(world.fresh(world.cluster(zoned)))
    volumes = observed.all_of(PERSISTENT_VOLUME_CLAIM)
    assert all("ownerReferences" not in v["metadata"] for v in volumes)
    again = world.fresh(world.cluster(world.pool(zones=["z9"]), meta={"uid": "u-2"}))
    for obj in volumes:
        again = world.put(again, obj)
    plan = plan_cluster(again)
    assert plan.membership is not None
    assert [(b.id, b.zone) for b in plan.membership.brokers] == [(0, "z1"), (1, "z2"), (2, "z1")]
    assert world.settle(again)[1].verdict.state is State.READY


def test_a_name_that_is_taken_stalls() -> None:
    observed = world.fresh(world.cluster())
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prod-brokers", "namespace": "kafka", "uid": "x"},
        "spec": {},
    }
    plan = plan_cluster(world.put(observed, service))
    assert (plan.verdict.reason, plan.actions) == ("NameTaken", ())


def test_a_volume_grows_never_shrinks_and_a_failed_growth_can_be_lowered() -> None:
    observed = running()
    grown = world.respecified(observed, world.cluster(world.pool(storage={"size": "20Gi"})))
    plan = plan_cluster(grown)
    sizes = [
        a.object["spec"]["resources"]["requests"]["storage"]
        for a in plan.actions
        if isinstance(a, Apply) and a.object["kind"] == "PersistentVolumeClaim"
    ]
    assert sizes == ["20Gi"] * 3 and restarted(plan.actions) == []
    asked = world.applied(grown, plan.actions)
    assert plan_cluster(asked).verdict.reason == "VolumeGrows"
    lowered = world.respecified(asked, world.cluster(world.pool(storage={"size": "15Gi"})))
    assert len(plan_cluster(lowered).actions) == 3
    shrunk = world.respecified(observed, world.cluster(world.pool(storage={"size": "5Gi"})))
    refused = plan_cluster(shrunk)
    assert refused.actions == () and refused.verdict.reason == "VolumeCannotShrink"


def test_live_settings_are_set_reset_and_kept_without_a_restart() -> None:
    observed = running()
    wanted = world.respecified(observed, world.cluster(config={"log.retention.ms": "60000"}))
    [action] = plan_cluster(wanted).actions
    assert action == AlterBrokerDefaults(set_to={"log.retention.ms": "60000"}, reset=frozenset())
    drifted = replace(wanted, defaults={"log.retention.ms": "1", "log.cleaner.backoff.ms": "9"})
    assert plan_cluster(drifted).actions == (
        AlterBrokerDefaults(
            set_to={"log.retention.ms": "60000"}, reset=frozenset({"log.cleaner.backoff.ms"})
        ),
    )
    assert plan_cluster(replace(wanted, defaults=None)).actions == ()


def test_what_somebody_changed_by_hand_is_put_right() -> None:
    observed = running()
    service = world.get(observed, SERVICE, "prod-bootstrap")
    bent = {**service, "spec": {**service["spec"], "selector": {"a": "b"}}}
    [action] = plan_cluster(world.put(observed, bent)).actions
    assert isinstance(action, Apply) and action.object["metadata"]["name"] == "prod-bootstrap"
    sets = world.get(observed, STATEFUL_SET, "prod-a-1")
    scaled = {**sets, "spec": {**sets["spec"], "replicas": 0}}
    [action] = plan_cluster(world.put(observed, scaled)).actions
    assert isinstance(action, Apply)


def test_old_settings_files_go_once_nothing_uses_them() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    before = {obj["metadata"]["name"] for obj in observed.all_of(CONFIG_MAP)}
    after = {obj["metadata"]["name"] for obj in world.settle(observed)[0].all_of(CONFIG_MAP)}
    assert len(after) == len(before) == 4 and len(before & after) == 1


def test_suspend_changes_nothing() -> None:
    plan = plan_cluster(world.fresh(world.cluster(suspend=True)))
    assert plan.actions == () and plan.verdict.reason == "Suspended"
    still = world.respecified(running(), world.cluster(suspend=True))
    assert plan_cluster(still).verdict.state is State.READY


def test_a_missing_storage_class_is_named_and_no_volume_is_made() -> None:
    wanted = world.cluster(world.pool(storage={"size": "1Gi", "className": "fast"}))
    plan = plan_cluster(world.fresh(wanted, storage_classes=frozenset({"slow"})))
    assert plan.verdict.reason == "StorageClassNotFound" and "fast" in plan.verdict.message
    assert not any(
        isinstance(a, Apply) and a.object["kind"] == "PersistentVolumeClaim" for a in plan.actions
    )


def test_an_external_etcd_needs_its_secret_and_losing_it_restarts_nothing() -> None:
    etcd = {"external": {"endpoints": ["etcd:2379"], "secret": "etcd"}}
    absent = plan_cluster(world.fresh(world.cluster(etcd=etcd)))
    assert (absent.verdict.reason, absent.actions) == ("SecretNotFound", ())
    keys = frozenset({"ca.crt", "username", "password"})
    observed, plan = world.settle(world.fresh(world.cluster(etcd=etcd), etcd_secret_keys=keys))
    assert plan.verdict.state is State.READY
    assert plan_cluster(replace(observed, etcd_secret_keys=None)).actions == ()


def test_etcd_is_never_made_anew_once_it_was_whole() -> None:
    observed = running()
    state = world.get(observed, CONFIG_MAP, "prod-etcd")
    assert state["data"] == {"ETCD_INITIAL_CLUSTER_STATE": "existing"}
    lost = world.without(observed, PERSISTENT_VOLUME_CLAIM, "prod-etcd-1")
    plan = plan_cluster(lost)
    assert plan.actions == () and plan.verdict.reason == "EtcdMemberLost"
    assert "kubectl delete pod prod-etcd-1-0" in plan.verdict.message
    worse = world.without(lost, PERSISTENT_VOLUME_CLAIM, "prod-etcd-0")
    assert plan_cluster(worse).actions == ()
    assert plan_cluster(worse).verdict.reason == "EtcdLost"


def test_the_number_of_etcd_members_cannot_change() -> None:
    one = {"managed": {"members": 1, "storage": {"size": "1Gi"}}}
    plan = plan_cluster(world.respecified(running(), world.cluster(etcd=one)))
    assert (plan.verdict.reason, plan.actions) == ("EtcdChanged", ())


def test_an_alarm_of_etcd_is_said() -> None:
    observed = running()
    alarmed = {**observed.members, 0: MemberHealth(healthy=False, alarm="NOSPACE")}
    plan = plan_cluster(replace(observed, members=alarmed))
    assert plan.verdict.reason == "EtcdAlarm" and "NOSPACE" in plan.verdict.message


def test_certificates_are_renewed_in_time_and_restart_nothing() -> None:
    observed = running()
    assert plan_cluster(replace(observed, now=observed.now + timedelta(days=240))).actions == ()
    [action] = plan_cluster(replace(observed, now=observed.now + timedelta(days=250))).actions
    assert isinstance(action, IssueCertificates)


def test_a_lost_ca_is_said_and_not_replaced_under_running_members() -> None:
    observed = running()
    left = {k: v for k, v in observed.certificates.items() if k != names.etcd_ca("prod")}
    plan = plan_cluster(replace(observed, certificates=left, ca_key=""))
    assert plan.actions == () and plan.verdict.reason == "CertificateAuthorityLost"


def test_a_deleted_cluster_is_left_to_its_owner_references() -> None:
    meta = {"deletionTimestamp": "2026-11-24T00:00:00Z"}
    plan = plan_cluster(world.respecified(running(), world.cluster(meta=meta)))
    assert plan.actions == ()


def test_with_delete_volumes_go_with_their_cluster() -> None:
    observed = running(reclaimPolicy="Delete")
    for obj in observed.all_of(PERSISTENT_VOLUME_CLAIM):
        assert [o["uid"] for o in obj["metadata"]["ownerReferences"]] == ["u-1"]


def test_a_volume_that_somebody_deletes_stops_all_changes() -> None:
    observed = world.respecified(running(), world.cluster(config={"num.partitions": "5"}))
    volume = world.get(observed, PERSISTENT_VOLUME_CLAIM, "prod-broker-0")
    going = {**volume, "metadata": {**volume["metadata"], "deletionTimestamp": "now"}}
    plan = plan_cluster(world.put(observed, going))
    assert (plan.verdict.reason, plan.actions) == ("VolumeDeleted", ())


def test_the_ca_is_kept_or_not_as_the_spec_says_by_now() -> None:
    observed = running()
    ca = etcd_ca_secret(observed.cluster, {"tls.crt": "x", "tls.key": "y"})
    observed = world.applied(observed, [Apply(object=ca)])
    assert plan_cluster(observed).actions == ()
    deleting = world.respecified(observed, world.cluster(reclaimPolicy="Delete"))
    applied = [a.object for a in plan_cluster(deleting).actions if isinstance(a, Apply)]
    [secret] = [obj for obj in applied if obj["kind"] == "Secret"]
    assert secret["data"] == ca["data"] and secret["metadata"]["ownerReferences"]


def test_a_broker_that_waits_for_an_external_etcd_says_so_with_the_cure() -> None:
    etcd = {"external": {"endpoints": ["etcd:2379"], "secret": "etcd"}}
    first = world.fresh(world.cluster(etcd=etcd), etcd_secret_keys=frozenset({"ca.crt"}))
    observed = world.started(world.applied(first, plan_cluster(first).actions))
    why = "waiting for the metadata store: etcd at etcd:2379 did not answer: no such host"
    waiting = {n: replace(r, ready=False, progress=why) for n, r in observed.reports.items()}
    pods = {name: replace(pod, ready=False) for name, pod in observed.pods.items()}
    plan = plan_cluster(replace(observed, reports=waiting, pods=pods))
    assert (plan.verdict.state, plan.verdict.reason) == (State.RECONCILING, "Starting")
    assert "Broker 0 is starting: " + why in plan.verdict.message
    assert "spec.etcd.external.endpoints" in plan.verdict.message
    assert plan_cluster(observed).verdict.state is State.READY, "and recovers by itself"


def test_a_volume_without_a_storage_class_where_none_is_the_default_is_named() -> None:
    observed = world.applied(world.fresh(world.cluster()), ())
    observed = world.applied(observed, plan_cluster(observed).actions)
    objects = {
        key: {**obj, "status": {"phase": "Pending"}} if key.kind is PERSISTENT_VOLUME_CLAIM else obj
        for key, obj in observed.objects.items()
    }
    waiting = replace(observed, objects=objects, default_class=False)
    verdict = plan_cluster(waiting).verdict
    assert (verdict.state, verdict.reason) == (State.RECONCILING, "NoDefaultStorageClass")
    assert "prod-broker-0" in verdict.message
    assert plan_cluster(replace(waiting, default_class=True)).verdict.reason == "Starting"
