"""franz-go, through a small Go program in `franz/`: every codec, a group, administration."""

import os
import subprocess
from pathlib import Path

import pytest

from e2e.kafka.jars import ROOT

pytestmark = pytest.mark.needs("go")

SOURCE = Path(__file__).parent / "franz"
BUILT = ROOT / ".cache" / "franz"
BUILD_TIMEOUT_S = 600
RUN_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def program() -> Path:
    """The built program; Go itself keeps what did not change."""
    BUILT.mkdir(parents=True, exist_ok=True)
    target = BUILT / "franz"
    done = subprocess.run(
        ["go", "build", "-o", str(target), "."],
        cwd=SOURCE,
        env=os.environ | {"CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return target


def run(program: Path, *words: str) -> str:
    done = subprocess.run(
        [str(program), *words], capture_output=True, text=True, timeout=RUN_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(BUILD_TIMEOUT_S + 100)
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(program: Path, bootstrap: str, name: str, codec: str) -> None:
    assert run(program, bootstrap, "codec", name, codec) == "500 records came back as sent\n"


@pytest.mark.parametrize("balancer", ["range", "cooperative-sticky"])
def test_a_group_as_members_come_and_go(
    program: Path, bootstrap: str, name: str, balancer: str
) -> None:
    told = run(program, bootstrap, "group", name, balancer)
    assert told == "1 member owns 4\n2 members own 4\n1 member owns 4\n"


def test_administration(program: Path, bootstrap: str, name: str) -> None:
    told = run(program, bootstrap, "admin", name).splitlines()
    assert told == ["created", "partitions 3", "retention.ms 60000", "end 10", "deleted"]
