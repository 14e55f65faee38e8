"""The drivers must void a round on anything but success, or their rates mean nothing."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from headrace.config.topic import LogSettings
from headrace.wire.batch import BatchHeader, check_batch
from headrace.wire.messages import read_request

from tests.bench.fetch_replay import FetchReader
from tests.bench.frames import ProduceFrame, fetch_frame, make_batch, produce_frame
from tests.bench.produce_replay import Load, WrongAnswer, replay

TOPIC = "t"
LOAD = Load(connections=2, depth=3, warm_up_s=0.02, seconds=0.1)
Answer = Callable[[int, int, int], bytes]


@contextmanager
def broker(answer: Answer) -> Iterator[int]:
    """A broker of a few lines: answer(api key, correlation id, Produce requests so far)."""
    server = socket.create_server(("127.0.0.1", 0))
    produced = [0]

    def serve(peer: socket.socket) -> None:
        # A driver that gives up resets its connections in the middle of anything.
        with suppress(OSError), peer, peer.makefile("rb") as stream:
            while front := stream.read(4):
                request = stream.read(struct.unpack(">i", front)[0])
                api_key, _version, correlation_id = struct.unpack_from(">hhi", request)
                produced[0] += api_key == 0
                peer.sendall(answer(api_key, correlation_id, produced[0]))

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        acceptor.join()


def success(frame: ProduceFrame, correlation_id: int, code: int = 0) -> bytes:
    partitions = [field for i in range(frame.partitions) for field in (i, code, 0, -1, 0, 1, 0, 0)]
    name, count = TOPIC.encode(), bytes([frame.partitions + 1])
    front = (frame.answer.size - 4, correlation_id, 0, 2, len(name) + 1, name, count)
    return frame.answer.pack(*front, *partitions, 0, 0, 0)


def end_offset(correlation_id: int, offset: int) -> bytes:
    body = struct.pack(">ih1siihqq", 1, 1, TOPIC.encode(), 1, 0, 0, -1, offset)
    return struct.pack(">ii", len(body) + 4, correlation_id) + body


def frame_of(partitions: int = 1) -> ProduceFrame:
    return produce_frame(TOPIC, make_batch(100, 1024), partitions)


def test_every_acknowledged_record_is_counted_and_found_in_the_log() -> None:
    frame = frame_of()

    def answer(api_key: int, correlation_id: int, produced: int) -> bytes:
        if api_key == 0:
            return success(frame, correlation_id)
        return end_offset(correlation_id, produced * frame.records)

    with broker(answer) as port:
        done = replay(port, TOPIC, frame, LOAD)
    assert done.requests > 0
    assert done.total_requests >= done.requests + 2 * 2 * 3


def test_an_error_code_voids_the_round() -> None:
    frame = frame_of()
    with broker(lambda _key, correlation_id, _n: success(frame, correlation_id, 19)) as port:
        with pytest.raises(WrongAnswer, match="19"):
            replay(port, TOPIC, frame, LOAD)


def test_an_error_in_one_of_many_partitions_voids_the_round() -> None:
    frame = frame_of(partitions=3)

    def answer(_key: int, correlation_id: int, _produced: int) -> bytes:
        whole = bytearray(success(frame, correlation_id))
        third = frame.first_error_position + 2 * struct.calcsize(">ihqqqBBB")
        struct.pack_into(">h", whole, third, 56)
        return bytes(whole)

    with broker(answer) as port, pytest.raises(WrongAnswer, match="56"):
        replay(port, TOPIC, frame, LOAD)


def test_an_answer_of_another_shape_voids_the_round_and_names_its_error() -> None:
    frame = frame_of()

    def answer(_key: int, correlation_id: int, _produced: int) -> bytes:
        longer = success(frame, correlation_id, 87) + b"message"
        return struct.pack(">i", len(longer) - 4) + longer[4:]

    with broker(answer) as port, pytest.raises(WrongAnswer, match="error code 87"):
        replay(port, TOPIC, frame, LOAD)


def test_a_log_without_the_acknowledged_records_voids_the_round() -> None:
    frame = frame_of()

    def answer(api_key: int, correlation_id: int, produced: int) -> bytes:
        if api_key == 0:
            return success(frame, correlation_id)
        return end_offset(correlation_id, produced * frame.records - 1)

    with broker(answer) as port, pytest.raises(WrongAnswer, match="acknowledged"):
        replay(port, TOPIC, frame, LOAD)


def test_answers_out_of_order_void_the_round() -> None:
    frame = frame_of()
    with broker(lambda _key, _id, produced: success(frame, 1000 + produced)) as port:
        with pytest.raises(WrongAnswer, match="was due"):
            replay(port, TOPIC, frame, LOAD)


def fetched(records: bytes, code: int = 0, top_code: int = 0) -> bytes:
    front = struct.pack(">iBihiBB1sB", 1, 0, 0, top_code, 0, 2, 2, TOPIC.encode(), 2)
    partition = struct.pack(">ihqqqBi", 0, code, 9, 9, 0, 0, -1)
    assert len(records) + 1 > 127
    size = bytes([(len(records) + 1) & 0x7F | 0x80, (len(records) + 1) >> 7])
    body = front + partition + size + records + b"\0\0\0"
    return struct.pack(">i", len(body)) + body


def test_a_reader_counts_whole_batches_and_moves_on() -> None:
    batch = make_batch(100, 1024)
    half = batch.data + batch.data[:500]
    with broker(lambda *_: fetched(half)) as port:
        reader = FetchReader(port, TOPIC, 1 << 20)
        assert reader.fetch() == len(batch.data)
        assert reader.offset == batch.records
        reader.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fetched(make_batch(100, 1024).data, code=1), "error code 1"),
        (fetched(make_batch(100, 1024).data, top_code=58), "error code 58"),
        (fetched(struct.pack(">q", 7) + make_batch(100, 1024).data[8:]), "batch at 7"),
    ],
)
def test_a_reader_refuses_errors_and_gaps(answer: bytes, said: str) -> None:
    with broker(lambda *_: answer) as port:
        reader = FetchReader(port, TOPIC, 1 << 20)
        with pytest.raises(WrongAnswer, match=said):
            reader.fetch()
        reader.close()


def test_frames_are_what_the_codecs_of_the_house_read() -> None:
    frame = frame_of(partitions=100)
    request = read_request(0, 12, memoryview(frame.data)[4:], 16)
    (topic,) = request.topic_data
    assert topic.name == TOPIC
    assert [p.index for p in topic.partition_data] == list(range(100))
    fetch = read_request(1, 12, memoryview(fetch_frame(TOPIC, 42, 1 << 20, 7))[4:], 16)
    assert fetch.topics[0].partitions[0].fetch_offset == 42
    assert fetch.topics[0].partitions[0].partition_max_bytes == 1 << 20


def test_batches_pass_the_broker_s_own_check() -> None:
    batch = make_batch(1024, 256 << 10)
    now_ms = int(time.time() * 1000)
    header = check_batch(memoryview(batch.data), 0, len(batch.data), LogSettings(), now_ms)
    assert isinstance(header, BatchHeader)
    assert header.record_count == batch.records == 253
    assert len(batch.data) <= 256 << 10
