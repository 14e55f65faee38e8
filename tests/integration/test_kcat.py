"""kcat (librdkafka 2.0, as Debian has it): the command line that everybody has."""

import json
import subprocess

import pytest

pytestmark = pytest.mark.needs("kcat")

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LINES = [f"line {i} " + "x" * (i % 50) for i in range(500)]


def kcat(bootstrap: str, *words: str, text: str = "") -> str:
    """kcat's standard output; it must end with 0."""
    command = ["kcat", "-b", bootstrap, *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", CODECS)
def test_lines_go_in_and_come_out(bootstrap: str, name: str, codec: str) -> None:
    kcat(bootstrap, "-P", "-t", name, "-p", "0", "-z", codec, text="\n".join(LINES))
    out = kcat(bootstrap, "-C", "-t", name, "-p", "0", "-o", "beginning", "-e", "-q")
    assert out.splitlines() == LINES


def test_a_topic_is_there_once_it_is_used(bootstrap: str, name: str) -> None:
    kcat(bootstrap, "-P", "-t", name, text="first")
    listed = json.loads(kcat(bootstrap, "-L", "-J", "-t", name))
    (topic,) = listed["topics"]
    assert [p["partition"] for p in topic["partitions"]] == [0, 1]
    assert all(p["leader"] == 1 for p in topic["partitions"])


def test_keys_headers_and_offsets(bootstrap: str, name: str) -> None:
    words = ("-P", "-t", name, "-p", "1", "-K:", "-H", "colour=red")
    kcat(bootstrap, *words, text="a:1\nb:2\nc:3")
    shown = kcat(
        bootstrap, "-C", "-t", name, "-p", "1", "-o", "1", "-e", "-q", "-f", "%o %k %s %h\n"
    )
    assert shown.splitlines() == ["1 b 2 colour=red", "2 c 3 colour=red"]


def test_a_group_goes_on_where_it_stopped(bootstrap: str, name: str) -> None:
    kcat(bootstrap, "-P", "-t", name, "-p", "0", text="\n".join(LINES[:10]))
    first = kcat(bootstrap, "-G", name, "-X", "auto.offset.reset=earliest", "-c", "4", "-q", name)
    rest = kcat(bootstrap, "-G", name, "-X", "auto.offset.reset=earliest", "-e", "-q", name)
    assert first.splitlines() + rest.splitlines() == LINES[:10]


def test_offset_for_a_time(bootstrap: str, name: str) -> None:
    kcat(bootstrap, "-P", "-t", name, "-p", "0", text="one")
    assert f"{name} [0] offset 0" in kcat(bootstrap, "-Q", "-t", f"{name}:0:1")
