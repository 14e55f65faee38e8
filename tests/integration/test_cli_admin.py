"""Topics, groups, settings and the cluster from the command line, by its JSON contract."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.kafka.headrace import Headrace
from tests.command_line import LAUNCHER, run


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    folder = tmp_path_factory.mktemp("admin") / "data"
    settings = {"group.initial.rebalance.delay.ms": "0"}
    with Headrace(folder, settings=settings, launcher=LAUNCHER) as broker:
        yield broker


def ask(broker: Headrace, *arguments: str, code: int = 0, given: bytes = b"") -> dict[str, Any]:
    """The one JSON object that the command writes."""
    done = run(*arguments, "-o", "json", "-b", broker.bootstrap, given=given)
    assert (done.code, done.err) == (code, ""), done
    answer: dict[str, Any] = json.loads(done.out)
    assert ("error" in answer) == (code != 0)
    return answer


def test_the_life_of_a_topic(broker: Headrace) -> None:
    made = ask(
        broker, "topic", "create", "life", "--partitions", "2", "--set", "retention.ms=70000"
    )
    assert made["partitions"] == 2
    again = ask(broker, "topic", "create", "life", code=1)
    assert again["error"]["code"] == "TOPIC_ALREADY_EXISTS"
    listed = {t["name"]: t for t in ask(broker, "topic", "list")["topics"]}
    assert listed["life"]["topic_id"] == made["topic_id"]

    ask(broker, "produce", "life", "-p", "1", given=b"a\nb\n")
    ask(broker, "topic", "alter", "life", "--partitions", "3", "--set", "segment.bytes=1048576")
    shown = ask(broker, "topic", "describe", "life")
    assert [p["log_end_offset"] for p in shown["partitions"]] == [0, 2, 0]
    assert shown["partitions"][1]["size_bytes"] > 0
    assert shown["settings"] == {"retention.ms": "70000", "segment.bytes": "1048576"}
    ask(broker, "topic", "alter", "life", "--unset", "retention.ms")
    assert set(ask(broker, "topic", "describe", "life")["settings"]) == {"segment.bytes"}
    assert ask(broker, "topic", "alter", "life", "--partitions", "2", code=1)["error"]["code"] == (
        "INVALID_PARTITIONS"
    )
    assert ask(broker, "topic", "delete", "life", "--yes") == {"deleted": ["life"]}
    gone = ask(broker, "topic", "describe", "life", code=1)
    assert gone["error"]["code"] == "UNKNOWN_TOPIC_OR_PARTITION"


def test_deleting_several_tells_which_failed(broker: Headrace) -> None:
    ask(broker, "topic", "create", "one")
    answer = ask(broker, "topic", "delete", "one", "absent", "--yes", code=1)["error"]
    assert answer["code"] == "PARTLY_FAILED"
    assert "'absent'" in answer["message"] and "Deleted: one" in answer["message"]


def test_the_life_of_a_group(broker: Headrace) -> None:
    ask(broker, "produce", "read", given=b"".join(b"%d\n" % n for n in range(10)))
    read = [
        "consume",
        "read",
        "-g",
        "readers",
        "--from-beginning",
        "-n",
        "4",
        "-b",
        broker.bootstrap,
    ]
    assert run(*read).out == b"0\n1\n2\n3\n"
    assert "readers" in [g["name"] for g in ask(broker, "group", "list")["groups"]]
    (before,) = ask(broker, "group", "describe", "readers")["offsets"]
    assert (before["committed_offset"], before["log_end_offset"], before["lag"]) == (4, 10, 6)

    planned = ask(broker, "group", "reset", "readers", "--to-end", "--dry-run")
    assert (planned["offsets"][0]["before"], planned["offsets"][0]["after"]) == (4, 10)
    assert ask(broker, "group", "describe", "readers")["offsets"][0]["committed_offset"] == 4
    ask(broker, "group", "reset", "readers", "--to-offset", "8", "--yes")
    rest = run("consume", "read", "-g", "readers", "-e", "-b", broker.bootstrap)
    assert rest.out == b"8\n9\n"
    ask(broker, "group", "reset", "new", "--topic", "read", "--to-beginning", "--yes")
    assert ask(broker, "group", "describe", "new")["offsets"][0]["committed_offset"] == 0

    both = ask(broker, "group", "delete", "readers", "new", "--yes")
    assert both == {"deleted": ["readers", "new"]}
    gone = ask(broker, "group", "describe", "readers", code=1)
    assert gone["error"]["code"] == "GROUP_ID_NOT_FOUND"


def test_an_offset_beyond_the_end_is_told_and_the_nearest_taken(broker: Headrace) -> None:
    ask(broker, "produce", "short", given=b"a\n")
    reset = ["group", "reset", "far", "--topic", "short", "--to-offset", "5000000", "--yes"]
    done = run(*reset, "-b", broker.bootstrap)
    assert done.code == 0 and "short-0 has the offsets 0 to 1, not 5000000" in done.err
    assert ask(broker, "group", "describe", "far")["offsets"][0]["committed_offset"] == 1


def test_a_group_with_members_is_not_moved(broker: Headrace) -> None:
    ask(broker, "produce", "busy", given=b"a\n")
    command = [*LAUNCHER, "consume", "busy", "-g", "alive", "--from-beginning"]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "-b", broker.bootstrap], stdout=pipe) as member:
        try:
            assert member.stdout is not None and member.stdout.readline() == b"a\n"
            reset = ["group", "reset", "alive", "--topic", "busy", "--to-beginning", "--yes"]
            refused = ask(broker, *reset, code=1)["error"]
            assert refused["code"] == "NON_EMPTY_GROUP"
            assert "stop its consumers first" in refused["message"]
        finally:
            member.kill()


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("config set topic typed --unset retntion.ms", "the closest is retention.ms"),
        ("topic alter typed --unset nosuch", "topic typed has no setting 'nosuch'"),
        ("config set broker default --unset log.retention.hours", "in the broker's file"),
        ("config set broker 1 --unset log.retention.m", "the closest is log.retention.ms"),
        ("config set group typed --unset nosuch", "Unknown group config name"),
        ("config get topic typed retntion.ms", "the closest is retention.ms"),
    ],
)
def test_a_mistyped_setting_is_no_success(broker: Headrace, command: str, part: str) -> None:
    run("topic", "create", "typed", "-b", broker.bootstrap)
    assert part in ask(broker, *command.split(), code=1)["error"]["message"]


def test_another_port_is_told_in_whole_sentences(broker: Headrace) -> None:
    done = run("topic", "list", "-b", f"127.0.0.1:{broker.http_port}")
    assert done.code == 1 and "without TLS? `headrace dev` starts" in done.err


def test_what_is_not_set_may_be_unset(broker: Headrace) -> None:
    ask(broker, "config", "set", "broker", "default", "--unset", "log.retention.ms")


@pytest.mark.parametrize("change", [["delete", "--yes"], ["alter", "--partitions", "60"]], ids=str)
def test_the_brokers_own_topics_are_guarded(broker: Headrace, change: list[str]) -> None:
    reset = ["group", "reset", "own", "--topic", "owned", "--to-end", "--yes"]
    ask(broker, "produce", "owned", given=b"a\n")
    ask(broker, *reset)  # whereby __consumer_offsets is there
    before = ask(broker, "topic", "describe", "__consumer_offsets")["topic_id"]
    refused = ask(broker, "topic", change[0], "__consumer_offsets", *change[1:], code=1)["error"]
    assert refused["code"] == "INTERNAL_TOPIC" and "--internal" in refused["message"]
    assert ask(broker, "topic", "describe", "__consumer_offsets")["topic_id"] == before


def test_the_brokers_own_reason_is_shown(broker: Headrace) -> None:
    refused = ask(broker, "topic", "create", "thrice", "--replicas", "3", code=1)["error"]
    assert "keeps one replica" in refused["message"]
    assert "'.' is not allowed" in ask(broker, "topic", "create", ".", code=1)["error"]["message"]
    empty = ask(broker, "group", "describe", "", code=1)["error"]
    assert "INVALID_GROUP_ID" in empty["message"] or "no such group" in empty["message"]


def test_settings_are_set_and_returned_to_their_defaults(broker: Headrace) -> None:
    ask(broker, "topic", "create", "settled")
    ask(broker, "config", "set", "topic", "settled", "retention.ms=1234")
    (setting,) = ask(broker, "config", "get", "topic", "settled", "retention.ms")["settings"]
    assert (setting["value"], setting["source"]) == ("1234", "topic")
    ask(broker, "config", "set", "topic", "settled", "--unset", "retention.ms")
    (setting,) = ask(broker, "config", "get", "topic", "settled", "retention.ms")["settings"]
    assert (setting["value"], setting["source"]) == ("604800000", "default")
    ask(broker, "config", "set", "topic", "settled", "retention.ms=604800000", "segment.ms=60000")
    changed = ask(broker, "config", "get", "topic", "settled", "--changed")["settings"]
    assert [s["name"] for s in changed] == ["segment.ms"]
    absent = ask(broker, "config", "get", "broker", "7", code=1)
    assert "`headrace cluster status`" in absent["error"]["message"]
    bad = ask(broker, "config", "set", "topic", "settled", "retention.ms=soon", code=1)
    assert bad["error"]["code"] == "INVALID_CONFIG" and "retention.ms" in bad["error"]["message"]
    unknown = ask(broker, "config", "get", "broker", "1", "nonsense", code=1)
    assert unknown["error"]["code"] == "UNKNOWN_SETTING"


def test_the_shell_completes_what_the_cluster_has(broker: Headrace) -> None:
    ask(broker, "produce", "completed", given=b"x\n")
    asked = {"_HEADRACE_COMPLETE": "bash_complete", "HEADRACE_BOOTSTRAP": broker.bootstrap}
    words = {"COMP_WORDS": "headrace consume comple", "COMP_CWORD": "2"}
    assert run(environment={**asked, **words}).out == b"plain,completed\n"
    words = {"COMP_WORDS": "headrace config get broker ", "COMP_CWORD": "4"}
    assert run(environment={**asked, **words}).out == b"plain,default\nplain,1\n"


def test_the_cluster_shows_its_broker(broker: Headrace) -> None:
    state = ask(broker, "cluster", "status")
    assert [(b["host"], b["port"]) for b in state["brokers"]] == [("127.0.0.1", broker.kafka_port)]
    assert state["controller"] == state["brokers"][0]["id"]
    assert state["leaderless"] == []
    topics = ask(broker, "topic", "list", "--internal")["topics"]
    assert state["topics"] == sum(not t["internal"] for t in topics)
    counted = sum(t["partitions"] for t in topics if not t["internal"])
    assert state["partitions"] == counted
    assert state["topics"] + state["internal_topics"] == len(topics)
    text = run("cluster", "status", "-b", broker.bootstrap).out.decode()
    assert "BROKER" in text and f"127.0.0.1:{broker.kafka_port}" in text


def test_the_life_of_a_quota(broker: Headrace) -> None:
    assert ask(broker, "quota", "list") == {"quotas": []}
    app = ("--user", "ANONYMOUS", "--client-id-default")
    entity = {"user": "ANONYMOUS", "client-id": None}
    made = ask(broker, "quota", "set", *app, "producer_byte_rate=1e6", "request_percentage=12.5")
    values = {"producer_byte_rate": 1_000_000.0, "request_percentage": 12.5}
    assert made == {"entity": entity, "set": values}
    assert ask(broker, "quota", "list") == {"quotas": [{"entity": entity, "values": values}]}
    shown = run("quota", "list", "-b", broker.bootstrap).out.decode().splitlines()
    assert shown[1].split("  ")[0] == "user ANONYMOUS, client-id (default)"
    assert [line.split()[-2:] for line in shown[1:]] == [
        ["producer_byte_rate", "1000000"],
        ["request_percentage", "12.5"],
    ]
    removed = ask(broker, "quota", "reset", *app, "request_percentage")
    assert removed == {"entity": entity, "removed": ["request_percentage"]}
    assert ask(broker, "quota", "reset", *app)["removed"] == ["producer_byte_rate"]
    assert ask(broker, "quota", "reset", *app)["removed"] == []
    assert ask(broker, "quota", "list") == {"quotas": []}


def test_quotas_that_cannot_be(broker: Headrace) -> None:
    refused = ask(broker, "quota", "set", "--ip", "10.0.0.1", "producer_byte_rate=5", code=1)
    assert refused["error"]["code"] == "INVALID_REQUEST"
    for wrong in (
        ("producer_byte_rate=5",),
        ("--client-id", "app", "producer_byte_rate"),
        ("--client-id", "app", "producer_byte_rate=fast"),
        ("--client-id", "app", "--client-id-default", "producer_byte_rate=5"),
    ):
        done = run("quota", "set", *wrong, "-b", broker.bootstrap)
        assert done.code == 2, done
