"""A buffer is used again when its last view is gone, and never before."""

from headrace.storage.read_buffers import _BUFFERS_MAX, BUFFER_BYTES, ReadBuffers


def address(view: memoryview) -> int:
    return id(view.obj)


def test_a_buffer_in_use_is_not_given_again() -> None:
    buffers = ReadBuffers()
    first = buffers.take(100_000)
    second = buffers.take(100_000)
    assert address(first) != address(second)
    first[:3] = b"abc"
    second[:3] = b"xyz"
    assert first[:3] == b"abc"


def test_a_slice_or_copy_of_the_view_keeps_it_in_use() -> None:
    buffers = ReadBuffers()
    kept = buffers.take(100_000)[10:20]
    assert address(buffers.take(100_000)) != address(kept)


def test_a_released_buffer_is_given_again() -> None:
    buffers = ReadBuffers()
    view = buffers.take(BUFFER_BYTES)
    where = address(view)
    del view
    again = buffers.take(50_000)
    assert address(again) == where
    assert len(again) == 50_000


def test_small_and_oversized_reads_get_fresh_buffers() -> None:
    buffers = ReadBuffers()
    for count in (0, 10, BUFFER_BYTES + 1):
        view = buffers.take(count)
        assert view == bytes(count)
    assert not buffers._buffers


def test_only_so_many_buffers_are_kept() -> None:
    buffers = ReadBuffers()
    views = [buffers.take(BUFFER_BYTES) for _ in range(2 * _BUFFERS_MAX)]
    assert len({address(view) for view in views}) == 2 * _BUFFERS_MAX
    assert len(buffers._buffers) == _BUFFERS_MAX
