"""Pipes through topics: bytes come back as plain pipes would give them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.kafka.headrace import Headrace
from tests.command_line import LAUNCHER, Done, Terminal, run

AT_ONCE = {"group.initial.rebalance.delay.ms": "0"}
"""A group's first member need not wait for others."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    folder = tmp_path_factory.mktemp("pipes") / "data"
    with Headrace(folder, settings=AT_ONCE, launcher=LAUNCHER) as broker:
        yield broker


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]


def ok(broker: Headrace, *arguments: str, given: bytes = b"") -> bytes:
    done = run(*arguments, "-b", broker.bootstrap, given=given)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def failed(broker: Headrace, *arguments: str, given: bytes = b"") -> Done:
    done = run(*arguments, "-b", broker.bootstrap, given=given)
    assert done.code == 1, done
    return done


@pytest.mark.parametrize(
    "text",
    [
        b"a\nb\n",
        b"a\nb",
        b"\n\n\n",
        b"\na",
        b"one line",
        b"\r\n\x00\xff\n",
        b"x" * 300_000 + b"\ny",
    ],
    ids=["lines", "unterminated", "empty", "empty-first", "one", "binary", "long"],
)
def test_what_goes_in_comes_out(broker: Headrace, topic: str, text: bytes) -> None:
    assert ok(broker, "produce", topic, given=text) == b""
    assert ok(broker, "consume", topic, "--no-follow") == text


def test_records_of_two_inputs_never_share_a_line(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"a")
    ok(broker, "produce", topic, given=b"b")
    assert ok(broker, "consume", topic, "-e") == b"a\nb"


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_many_lines_in_every_codec(broker: Headrace, topic: str, codec: str) -> None:
    text = b"".join(b"line %d of many\n" % n for n in range(50_000))
    ok(broker, "produce", topic, "--compression", codec, given=text)
    assert ok(broker, "consume", topic, "--no-follow") == text


def test_the_time_machine(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"".join(b"%d\n" % n for n in range(1000)))
    assert ok(broker, "consume", topic, "--offset", "998", "-e") == b"998\n999\n"
    assert ok(broker, "consume", topic, "--offset", "-1", "-e") == b"999\n"
    assert ok(broker, "consume", topic, "--offset", "10", "-n", "2") == b"10\n11\n"
    late = int(time.time() * 1000) + 600_000
    line = json.dumps({"value": "late", "timestamp": late}).encode()
    ok(broker, "produce", topic, "--format", "json", given=line)
    assert ok(broker, "consume", topic, "--timestamp", str(late - 1), "-e") == b"late\n"
    assert ok(broker, "consume", topic, "--timestamp", "2001-01-01", "-n", "1") == b"0\n"
    far = failed(broker, "consume", topic, "--offset", "5000")
    assert "has no offset 5000" in far.err and topic in far.err


def test_json_lines_copy_a_topic(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, "-K", ":", "-H", "from=test", given=b"k:v:w\nk2:\n")
    lines = ok(broker, "consume", topic, "-e", "--format", "json")
    first = json.loads(lines.splitlines()[0])
    assert (first["key"], first["value"], first["headers"]) == ("k", "v:w", {"from": "test"})
    ok(broker, "produce", f"{topic}-copy", "--format", "json", given=lines)
    shape = ["--format", "%k|%v|%h|%T"]
    copy = ok(broker, "consume", f"{topic}-copy", "-e", *shape)
    assert copy == ok(broker, "consume", topic, "-e", *shape)
    assert copy.startswith(b"k|v:w|from=test|")


def test_a_bad_line_is_named_and_those_before_it_are_kept(broker: Headrace, topic: str) -> None:
    done = failed(broker, "produce", topic, "-K", ":", given=b"a:1\nb:2\nno key\nc:3\n")
    assert "Line 3 of standard input" in done.err
    assert ok(broker, "consume", topic, "-e") == b"1\n2\n"


def test_a_bad_timestamp_is_a_bad_line(broker: Headrace, topic: str) -> None:
    lines = b'{"value":"ok"}\n{"value":"a","timestamp":99999999999999999999}\n{"value":"after"}\n'
    done = failed(broker, "produce", topic, "--format", "json", given=lines)
    assert "Line 2 of standard input cannot be sent: the timestamp 9999" in done.err
    assert ok(broker, "consume", topic, "-e") == b"ok\n"


@pytest.mark.parametrize("arguments", [("consume", "-n", "1", "-e"), ("produce",)], ids=str)
def test_a_closed_stream_fails_in_words(
    broker: Headrace, topic: str, arguments: tuple[str, ...]
) -> None:
    ok(broker, "produce", topic, given=b"a\n")
    reads = arguments[0] == "consume"
    done = subprocess.run(
        [*LAUNCHER, arguments[0], topic, *arguments[1:], "-b", broker.bootstrap],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(1 if reads else 0),
    )
    named = b"standard output" if reads else b"standard input"
    assert (done.returncode, done.stderr) == (1, b"headrace: %s: Bad file descriptor.\n" % named)


def test_a_line_too_large_is_named_with_its_cure(broker: Headrace, topic: str) -> None:
    text = b"one\n" + b"x" * 2_000_000 + b"\nthree\n"
    done = failed(broker, "produce", topic, given=text)
    assert "Line 2 of standard input was not written" in done.err
    assert "--set max.message.bytes=" in done.err and "1 line of standard input written" in done.err
    assert ok(broker, "consume", topic, "-e") == b"one\n"


def test_partitions_are_chosen_and_read_apart(broker: Headrace, topic: str) -> None:
    ok(broker, "topic", "create", topic, "--partitions", "3")
    for index in range(3):
        ok(broker, "produce", topic, "-p", str(index), given=b"%d\n" % index)
    assert ok(broker, "consume", topic, "-e", "-p", "2") == b"2\n"
    assert sorted(ok(broker, "consume", topic, "-e").split()) == [b"0", b"1", b"2"]
    missing = failed(broker, "produce", topic, "-p", "3", given=b"x\n")
    assert "the topic has 3" in missing.err


def test_a_group_goes_on_where_it_stopped(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"".join(b"%d\n" % n for n in range(10)))
    as_group = ["consume", topic, "--group", topic]
    assert ok(broker, *as_group, "--from-beginning", "-n", "3") == b"0\n1\n2\n"
    assert ok(broker, *as_group, "-n", "2") == b"3\n4\n"
    assert ok(broker, *as_group, "-e") == b"5\n6\n7\n8\n9\n"
    assert ok(broker, *as_group, "-e") == b""


def test_a_reader_that_leaves_early_ends_consume_quietly(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"".join(b"%d\n" % n for n in range(100_000)))
    command = [*LAUNCHER, "consume", topic, "--from-beginning", "-b", broker.bootstrap]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait(30) == -signal.SIGPIPE
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_shows_lines_as_they_come_and_a_signal_ends_it(
    broker: Headrace, topic: str, number: signal.Signals
) -> None:
    ok(broker, "produce", topic, given=b"first\n")
    command = [*LAUNCHER, "consume", topic, "--from-beginning", "-b", broker.bootstrap]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"first\n"
        ok(broker, "produce", topic, given=b"second\n")
        assert process.stdout.readline() == b"second\n"
        process.send_signal(number)
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_lines_are_sent_as_they_are_typed(broker: Headrace, topic: str) -> None:
    """`produce` streams: a line is readable while its input is still open."""
    command = [*LAUNCHER, "produce", topic, "-b", broker.bootstrap]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"early\n")
        process.stdin.flush()
        deadline = time.monotonic() + 30
        seen = b""
        while seen != b"early\n" and time.monotonic() < deadline:
            seen = run("consume", topic, "-e", "-b", broker.bootstrap).out
        assert seen == b"early\n"
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_broker_killed_while_lines_flow_loses_and_repeats_none(tmp_path: Path) -> None:
    text = b"".join(b"%07d\n" % n for n in range(200_000))
    with Headrace(tmp_path / "data", launcher=LAUNCHER) as broker:
        ok(broker, "topic", "create", "t")
        command = [*LAUNCHER, "produce", "t", "-b", broker.bootstrap]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for part in range(4):
                process.stdin.write(text[part * 400_000 : (part + 1) * 400_000])
                process.stdin.flush()
                if part in (1, 2):
                    broker.kill()
                    broker.start()
            process.stdin.close()
            assert process.wait(60) == 0
        assert ok(broker, "consume", "t", "--no-follow") == text


@pytest.mark.parametrize("how", [["--no-follow"], ["--follow"], ["-g", "nobody"]], ids=str)
def test_a_topic_that_is_not_there_is_said_so_and_not_made(
    broker: Headrace, how: list[str]
) -> None:
    run("topic", "create", "ever-made", "-b", broker.bootstrap)
    done = failed(broker, "consume", "never-made", *how)
    assert "'never-made'" in done.err and "headrace topic create" in done.err
    assert "the closest is ever-made" in done.err
    assert b"never-made" not in ok(broker, "topic", "list")


def test_a_follower_at_the_end_says_so_on_a_terminal(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"first\n")
    for how in ([], ["-g", topic]):
        follow = ["consume", topic, "--from-beginning", *how, "-b", broker.bootstrap]
        with Terminal.running(*follow) as terminal:
            terminal.until(f"first\nheadrace: at the end of {topic}, waiting for new records")


def test_a_join_that_is_held_up_says_by_whom_on_a_terminal(broker: Headrace, topic: str) -> None:
    ok(broker, "produce", topic, given=b"first\n")
    join = ["consume", topic, "-g", topic, "--from-beginning", "-b", broker.bootstrap]
    with subprocess.Popen([*LAUNCHER, *join], stdout=subprocess.PIPE) as dead:
        assert dead.stdout is not None and dead.stdout.readline() == b"first\n"
        dead.kill()
    with Terminal.running(*join, "--no-follow") as terminal:
        terminal.until(f"headrace: waiting to join group {topic}")


@pytest.mark.parametrize("follow", ["--follow", "--no-follow"])
def test_an_offset_that_is_not_there_is_an_error(broker: Headrace, topic: str, follow: str) -> None:
    ok(broker, "produce", topic, given=b"a\nb\n")
    done = failed(broker, "consume", topic, "--offset", "99999", follow)
    assert "0 to 1" in done.err and f"`headrace topic describe {topic}`" in done.err
    assert ok(broker, "consume", topic, "--offset", "2", "--no-follow") == b""


def test_ctrl_c_writes_the_lines_that_were_read(broker: Headrace, topic: str) -> None:
    command = [*LAUNCHER, "produce", topic, "-b", broker.bootstrap]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stderr=pipe) as process, killed(process):
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"typed\n")
        process.stdin.flush()
        while _unread(process.stdin.fileno()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert (process.wait(30), process.stderr.read().strip()) == (-signal.SIGINT, b"")
    assert ok(broker, "consume", topic, "--no-follow") == b"typed\n"


def _unread(pipe: int) -> int:
    """Bytes that nobody has read from it yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


@pytest.mark.parametrize("group", [[], ["--group", "waiters"]], ids=["plain", "group"])
def test_following_waits_for_a_broker_that_is_away(tmp_path: Path, group: list[str]) -> None:
    with Headrace(tmp_path / "data", settings=AT_ONCE, launcher=LAUNCHER) as away:
        command = [*LAUNCHER, "consume", "later", "--from-beginning", *group]
        command += ["-b", away.bootstrap]
        ok(away, "topic", "create", "later")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process, killed(process):
            assert process.stdout is not None and process.stderr is not None
            ok(away, "produce", "later", given=b"before\n")
            assert process.stdout.readline() == b"before\n"
            away.stop()
            assert process.stderr.readline().endswith(b"; waiting until it is back.\n")
            away.start()
            ok(away, "produce", "later", given=b"after\n")
            shown = process.stdout.readline()
            if group and shown == b"before\n":  # at least once: that was not committed yet
                shown = process.stdout.readline()
            assert shown == b"after\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert process.stderr.read() == b"headrace: the broker is back.\n"


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Where an assertion fails, nobody waits for a process that follows for ever."""
    try:
        yield
    finally:
        process.kill()


def test_no_colour_in_pipes_even_where_it_is_forced(broker: Headrace) -> None:
    forced = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = run("cluster", "status", "-b", broker.bootstrap, environment=forced)
    assert done.code == 0 and b"\x1b" not in done.out
