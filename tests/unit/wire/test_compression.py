import pytest
from headrace.wire.compression import (
    CODECS,
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    CompressionError,
    compress,
    decompress,
)

TEXT = b"the quick brown fox " * 5000
BROKEN_WHERE = [GZIP, SNAPPY, LZ4, ZSTD]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("size", [0, 1, 1000, 32 * 1024, 32 * 1024 + 1, len(TEXT)])
def test_there_and_back(codec: int, size: int) -> None:
    packed = compress(codec, TEXT[:size])
    assert bytes(decompress(codec, packed, 10**6)) == TEXT[:size]
    assert bytes(decompress(codec, packed, size)) == TEXT[:size]


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_levels(codec: int) -> None:
    assert bytes(decompress(codec, compress(codec, TEXT, level=1), len(TEXT))) == TEXT


@pytest.mark.parametrize("codec", BROKEN_WHERE)
def test_one_byte_more_than_allowed_is_refused(codec: int) -> None:
    with pytest.raises(CompressionError, match="unpacks to more than"):
        decompress(codec, compress(codec, TEXT), len(TEXT) - 1)


@pytest.mark.parametrize("codec", BROKEN_WHERE)
def test_cut_or_foreign_data_is_refused(codec: int) -> None:
    packed = bytes(compress(codec, TEXT))
    for broken in (packed[:-1], packed[: len(packed) // 2], b"\xff" * 40):
        with pytest.raises(CompressionError):
            decompress(codec, broken, 10**6)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(CompressionError, match="codec 7 is unknown"):
        decompress(7, b"x", 10)


def test_no_codec_copies_nothing() -> None:
    view = decompress(NONE, TEXT, 1)
    assert view.obj is TEXT


def test_snappy_is_in_kafkas_form_and_raw_snappy_is_read() -> None:
    import cramjam

    assert bytes(compress(SNAPPY, TEXT)).startswith(b"\x82SNAPPY\x00\0\0\0\1\0\0\0\1")
    raw = bytes(cramjam.snappy.compress_raw(TEXT))
    assert bytes(decompress(SNAPPY, raw, len(TEXT))) == TEXT


def test_lz4_blocks_are_independent_because_kafka_reads_no_others() -> None:
    flags = bytes(compress(LZ4, TEXT))[4]
    assert flags & 0x20
