"""Keys go where Kafka's Java client sends them."""

import pytest
from headrace.client.partitioner import murmur2, partition_for


# Kafka's own vectors (org.apache.kafka.common.utils.UtilsTest#testMurmur2), signed.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_a_partition_is_the_hash_without_its_sign_over_the_count() -> None:
    assert partition_for(b"foobar", 10) == (-790332482 & 0x7FFFFFFF) % 10
