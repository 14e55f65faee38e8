"""Which partition coordinates a key, as Java computes it."""

import pytest
from headrace.core.coordinator import partition_of


@pytest.mark.parametrize(
    ("key", "java_hash"),
    [
        ("", 0),
        ("a", 97),
        ("hello", 99162322),
        ("my-group", -1906497762),
        ("polygenelubricants", -2147483648),
        ("🙂", 1772965),
    ],
)
def test_the_hash_is_javas(key: str, java_hash: int) -> None:
    assert partition_of(key, 50) == (java_hash & 0x7FFFFFFF) % 50
    assert partition_of(key, 1 << 31) == java_hash & 0x7FFFFFFF
