"""Settings files and --set arguments: what is read, and what a mistake says."""

import pytest
from headrace.config.file import ConfigError, parse_assignments, parse_properties


def test_lines_comments_and_continuations() -> None:
    text = """
# a comment
! another
num.partitions = 4
   log.retention.hours=1
listeners=PLAINTEXT://:9092,\\
  EXTERNAL://:9093
broker.rack=a=b
"""
    assert parse_properties(text, "f") == {
        "num.partitions": "4",
        "log.retention.hours": "1",
        "listeners": "PLAINTEXT://:9092,EXTERNAL://:9093",
        "broker.rack": "a=b",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nnum.partitions 4", "dev.properties, line 3: 'num.partitions 4' is not of the form"),
        ("=4", "line 1"),
        ("num.partitons=4", "dev.properties: num.partitons.*closest is num.partitions"),
        ("num.partitions=x", "dev.properties: num.partitions=x: it is not a number"),
        ("node.id=1\nbroker.id=1", "dev.properties: broker.id=1: node.id is given twice"),
    ],
)
def test_a_mistake_names_file_key_and_cure(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_properties(text, "dev.properties")


def test_assignments() -> None:
    assert parse_assignments(["num.partitions=4", "data.dir=/d"]) == {
        "num.partitions": "4",
        "log.dirs": "/d",
    }
    with pytest.raises(ConfigError, match=r"--set num.partitions: write it as key=value"):
        parse_assignments(["num.partitions"])
    with pytest.raises(ConfigError, match=r"--set: num.partitions=0"):
        parse_assignments(["num.partitions=0"])
