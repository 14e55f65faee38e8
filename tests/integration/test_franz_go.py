"""franz-go, the client of most Go programs: codecs, groups, admin calls, a refused transaction."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import ROOT
from tests.integration.clients import (
    CODEC_NAMES,
    DEADLINE_S,
    codecs_on_disk,
    create_topic,
    pairs,
    produce,
    read_to_end,
)
from tests.integration.conftest import needs

pytestmark = [needs("go"), pytest.mark.timeout(300)]

SOURCE = Path(__file__).parent / "franz"
PROGRAM = ROOT / ".cache" / "franz" / "franz"
BUILD_TIMEOUT_S = 280
GO_MIN = (1, 21)
"""From here on, go brings the newer toolchain that go.mod asks for by itself."""

Franz = Callable[..., Any]


@pytest.fixture(scope="module")
def program() -> Path:
    """The program, built once through Go's module proxy; a second build takes a second."""
    said = subprocess.run(["go", "version"], capture_output=True, text=True, timeout=60).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < GO_MIN:
        pytest.skip(f"Go {'.'.join(map(str, GO_MIN))} or newer is needed, this is {said.strip()}")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"}
    done = subprocess.run(
        ["go", "build", "-o", str(PROGRAM), "."],
        cwd=SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return PROGRAM


@pytest.fixture
def franz(program: Path, broker: Headrace, topic: str) -> Franz:
    """`franz("produce", codec="zstd")`: what the job says of itself, decoded."""

    def run(job: str, **flags: object) -> Any:
        words = [word for flag, value in flags.items() for word in (f"-{flag}", str(value))]
        done = subprocess.run(
            [str(program), "-brokers", broker.bootstrap, "-topic", topic, *words, job],
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_writes_with_every_codec(broker: Headrace, topic: str, franz: Franz, codec: str) -> None:
    create_topic(broker, topic)
    assert franz("produce", codec=codec, count=300) == {"last_offset": 299}
    expected = [(b"key-%d" % n, (f"franz {n} " * (n % 40 + 1)).encode()) for n in range(300)]
    assert read_to_end(broker, topic) == expected
    assert codecs_on_disk(broker, topic) == {codec}


def test_reads_every_codec_in_one_partition(broker: Headrace, topic: str, franz: Franz) -> None:
    create_topic(broker, topic)
    for codec in CODEC_NAMES:
        produce(broker, topic, pairs(codec), codec=codec)
    found = franz("consume", count=300 * len(CODEC_NAMES))
    assert [r["offset"] for r in found] == list(range(300 * len(CODEC_NAMES)))
    decoded = [(base64.b64decode(r["key"]), base64.b64decode(r["value"])) for r in found]
    assert decoded == [pair for codec in CODEC_NAMES for pair in pairs(codec)]


@pytest.mark.parametrize("balancer", ["range", "cooperative"])
def test_a_group_rebalances_as_members_come_and_go(
    broker: Headrace, topic: str, group: str, franz: Franz, balancer: str
) -> None:
    create_topic(broker, topic, 6)
    for partition in range(6):
        produce(broker, topic, pairs("none", 50), partition=partition)
    said = franz("group", group=group, balancer=balancer, count=300)
    assert said == {"read": 300, "lag": 0}


def test_admin_calls(franz: Franz) -> None:
    assert franz("admin") == {
        "again": True,
        "partitions": [0, 1, 2, 3, 4],
        "policy": "compact",
        "ends": 5,
        "folders": 5,
    }


def test_a_topic_is_made_on_first_use(broker: Headrace, topic: str, franz: Franz) -> None:
    assert franz("produce", count=10) == {"last_offset": 9}
    assert len(read_to_end(broker, topic)) == 10


def test_a_transaction_is_refused_for_good(franz: Franz) -> None:
    said = franz("transaction")
    assert not said["retriable"]
    assert said["error"] == "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
