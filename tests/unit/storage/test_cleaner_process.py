"""The cleaner's child process: a real one, on a real folder, by its pipes."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.sim.reading import read_records
from headrace.storage import cleaner_plan
from headrace.storage.cleaner import Cleaned, CleanJob
from headrace.storage.cleaner_process import (
    COMMAND,
    ORPHANED,
    Ending,
    decode_answer,
    decode_job,
    encode_job,
)
from headrace.storage.cleaner_swap import swap_in
from headrace.storage.log import Log
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import NewRecord, build_batch

UNLIMITED = 1e300


def topic(folder: Path) -> Log:
    settings = LogSettings(cleanup_policy=("compact",), segment_bytes=2000)
    log = Log.open(OsDisk(), str(folder / "t-0"), settings, Producers(), clean=True, now_ms=0)
    for n in range(100):
        batch = build_batch(
            [NewRecord(b"k%d" % (n % 7), b"%d" % n, 1000 + n)], base_offset=n, leader_epoch=0
        )
        log.append(batch, last_offset=n, max_timestamp=1000 + n, leader_epoch=0, now_ms=0)
    log.roll(0)
    flush = log.begin_flush()
    flush.run()
    log.flushed(flush)
    return log


def job(log: Log) -> CleanJob:
    plan = cleaner_plan.plan(log, None, last_stable_offset=100, now_ms=5000)
    assert plan is not None
    return cleaner_plan.job(log, plan, last_offsets={3: 50}, now_ms=5000, memory_bytes=10**6)


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_a_job_survives_its_pipe(tmp_path: Path) -> None:
    before = job(topic(tmp_path))
    assert decode_job(encode_job(before, 1e6)) == (before, 1e6)


def test_it_cleans_while_the_broker_only_swaps(tmp_path: Path) -> None:
    log = topic(tmp_path)
    with child() as process:
        assert process.stdin is not None and process.stdout is not None
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        # The second job finds everything clean; the child is the same.
        for groups_wanted in (1, 0):
            process.stdin.write(encode_job(job(log), UNLIMITED))
            process.stdin.flush()
            groups = 0
            while isinstance(answer := decode_answer(process.stdout.readline()), Cleaned):
                # It is niced before it reads the job.
                assert os.getpriority(os.PRIO_PROCESS, process.pid) > niceness
                assert swap_in(log, answer.base_offset, answer.replaces) is not None
                groups += 1
            assert answer == Ending("done", "")
            assert groups >= groups_wanted
        process.stdin.close()
    assert process.returncode == 0
    assert [record.offset for record in read_records(log)] == list(range(93, 100))
    log.close()


def test_it_says_why_it_cannot(tmp_path: Path) -> None:
    gone = replace(job(topic(tmp_path)), folder=str(tmp_path / "absent-0"))
    out = subprocess.run(
        COMMAND,
        input=encode_job(gone, UNLIMITED),
        capture_output=True,
        check=False,
    )
    # Its stdin ends at once here, which may be noticed before or after the answer.
    if out.stdout:
        assert json.loads(out.stdout)["how"] == "gone"
    else:
        assert out.returncode == ORPHANED


def test_it_ends_with_the_broker(tmp_path: Path) -> None:
    slow = job(topic(tmp_path))
    with child() as process:
        assert process.stdin is not None
        process.stdin.write(encode_job(slow, 1.0))  # a byte a second: it would take hours
        process.stdin.close()
        assert process.wait(timeout=30) == ORPHANED
