"""Runs the shards of a coordinator: one beside each partition of its topic that is led here.

Load (server.coordinator_loading), write (append an outcome's records as one batch, replay
them at once, answer once they are committed), timers (one armed timer a shard), discard on lost
leadership. Nothing here knows what a shard is about: groups use it today; transactions and
share state will.

A shard is made when its partition is first asked for, or when its log holds something to load;
an idle partition costs nothing. Reads wait for what was written before them to be committed, so
that nobody sees what a failover could take back.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from headrace.base.clock import Clock
from headrace.base.errors import Code
from headrace.base.image import ClusterImage, TopicState
from headrace.base.invariant import Bug
from headrace.core.coordinator import Answer, Now, Outcome, RecordFault, Shard, partition_of
from headrace.server import crash
from headrace.server.coordinator_loading import Skipped, Unloadable, load
from headrace.server.disk_reserve import Room
from headrace.server.partition import Partition
from headrace.storage.disk import DiskFault, DiskFull, NoDescriptor
from headrace.wire.records import NewRecord, build_batch

log = structlog.get_logger("headrace.coordinator")

S = TypeVar("S", bound=Shard)
Operation = Callable[[S, int, Now], Outcome]
"""(shard, token, now) -> what it leads to; the token names the asker if it has to wait."""
Refuse = Callable[[Code], Answer]
Answered = Answer | Coroutine[Any, Any, Answer]

_SLICE_MS: Final = 2
"""Overdue timers give the loop back after this long (decision 2)."""
_ALL_IN_SYNC: Final = -1


class PartitionSource(Protocol):
    """What a coordinator needs of server.partitions."""

    def get(self, topic: str, index: int) -> Partition | None:
        """The partition if this broker holds it."""
        ...


class _Hosted(Generic[S]):
    """A shard beside its partition, under one leader epoch."""

    __slots__ = (
        "armed_ms",
        "end_offset",
        "index",
        "leader_epoch",
        "loading",
        "partition",
        "shard",
        "timer",
        "waiting",
    )

    def __init__(self, index: int, partition: Partition, shard: S) -> None:
        self.index = index
        self.partition = partition
        self.shard = shard
        self.leader_epoch = partition.leader_epoch
        self.loading: asyncio.Task[None] | None = None
        self.end_offset = partition.log.log_end_offset
        """Below it lies everything the shard's state shows."""
        self.timer: asyncio.TimerHandle | None = None
        self.armed_ms: int | None = None
        self.waiting: dict[int, tuple[asyncio.Future[Answer], Refuse]] = {}


class Coordinator(Generic[S]):
    """All shards of one internal topic on this broker. Owned by the event loop."""

    def __init__(
        self,
        *,
        topic: str,
        partitions: PartitionSource,
        make_shard: Callable[[], S],
        clock: Clock,
        room: Room,
        commit_timeout_ms: int,
    ) -> None:
        self.topic = topic
        self._partitions = partitions
        self._make_shard = make_shard
        self._clock = clock
        self._room = room
        self._commit_timeout_s = commit_timeout_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._hosted: dict[int, _Hosted[S]] = {}
        self._state: TopicState | None = None
        self._unloadable: dict[int, int] = {}
        """Partitions whose records could not be loaded, and in which leader epoch."""
        self.records_unreadable = 0
        """Passed over while loading, since the start."""
        self._token = 0
        self._asking: int | None = None
        """The token of the request being handled, whose answer needs no future if it is now."""
        self._answer: Answer | None = None

    # Following the cluster.

    def follow(self, image: ClusterImage) -> None:
        """The image changed, and partitions with it: load what is led here, drop the rest."""
        state = image.topics.get(self.topic)
        if state is self._state:
            return
        self._state = state
        for index in tuple(self._hosted):
            self._current(index)
        for index in range(len(state.partitions) if state else 0):
            partition = self._partitions.get(self.topic, index)
            if partition is not None and partition.log.log_end_offset > 0:
                self._current(index)

    def partition_for(self, key: str) -> int | None:
        """The partition that coordinates `key`, or None while there is no topic."""
        state = self._state
        return None if state is None else partition_of(key, len(state.partitions))

    def shards(self) -> Iterator[tuple[int, S]]:
        """Every shard that is loaded, for metrics: do not change them."""
        for index, hosted in self._hosted.items():
            if hosted.loading is None:
                yield index, hosted.shard

    @property
    def led(self) -> list[int]:
        """Partitions whose shards exist here: those that may know something."""
        return [index for index in tuple(self._hosted) if self._current(index) is not None]

    def _current(self, index: int) -> _Hosted[S] | None:
        """The shard of a partition led here, made if need be; a deposed one is dropped."""
        hosted = self._hosted.get(index)
        if hosted is not None:
            partition = hosted.partition
            replica = partition.replica
            if (
                replica.leader_epoch == hosted.leader_epoch
                and replica.is_leader
                and partition.failure is None
            ):
                return hosted
            self._drop(hosted)
        held = self._partitions.get(self.topic, index)
        if held is None or not held.replica.is_leader or held.failure is not None:
            return None
        if self._unloadable.get(index) == held.leader_epoch:
            return None
        hosted = self._hosted[index] = _Hosted(index, held, self._make_shard())
        self._load(hosted)
        return self._hosted.get(index)

    def _drop(self, hosted: _Hosted[S]) -> None:
        if self._hosted.get(hosted.index) is hosted:
            del self._hosted[hosted.index]
        if hosted.timer is not None:
            hosted.timer.cancel()
        if hosted.loading is not None:
            hosted.loading.cancel()
        waiting, hosted.waiting = hosted.waiting, {}
        for future, refuse in waiting.values():
            if not future.done():
                future.set_result(refuse(Code.NOT_COORDINATOR))

    async def close(self) -> None:
        """Give every shard up; whoever waits is told to look for another coordinator."""
        loading = [h.loading for h in self._hosted.values() if h.loading is not None]
        for hosted in tuple(self._hosted.values()):
            self._drop(hosted)
        self._state = None
        await asyncio.gather(*loading, return_exceptions=True)

    # Asking.

    async def ask(self, key: str, operation: Operation[S], refuse: Refuse) -> Answer:
        """`submit`, awaited where it has to be."""
        return await awaited(self.submit(key, operation, refuse))

    def submit(self, key: str, operation: Operation[S], refuse: Refuse) -> Answered:
        """Have the shard of `key` handle something; the answer, or a coroutine that has it."""
        index = self.partition_for(key)
        if index is None:
            return refuse(Code.NOT_COORDINATOR)
        return self.submit_at(index, operation, refuse)

    def submit_at(self, index: int, operation: Operation[S], refuse: Refuse) -> Answered:
        """The same for a partition by number."""
        hosted = self._current(index)
        if hosted is None:
            return refuse(Code.NOT_COORDINATOR)
        if hosted.loading is not None:
            return refuse(Code.COORDINATOR_LOAD_IN_PROGRESS)
        token = self._token = self._token + 1
        self._asking, self._answer = token, None
        now = self._now()
        self._apply(hosted, operation(hosted.shard, token, now), token, refuse)
        self._asking = None
        self._arm(hosted, now)
        if self._answer is not None:
            answer, self._answer = self._answer, None
            return answer
        future: asyncio.Future[Answer] = self._loop.create_future()
        hosted.waiting[token] = (future, refuse)
        return self._wait(hosted, token, future)

    def tell_at(self, index: int, operation: Operation[S]) -> None:
        """Have a shard handle something that nobody waits for; lost where it is not loaded."""
        hosted = self._current(index)
        if hosted is None or hosted.loading is not None:
            return
        now = self._now()
        self._apply(hosted, operation(hosted.shard, 0, now), None, None)
        self._arm(hosted, now)

    def read(self, key: str, query: Callable[[S], Answer], refuse: Refuse) -> Answered:
        """Ask the shard of `key` for committed state."""
        index = self.partition_for(key)
        if index is None:
            return refuse(Code.NOT_COORDINATOR)
        return self.read_at(index, query, refuse)

    def read_at(self, index: int, query: Callable[[S], Answer], refuse: Refuse) -> Answered:
        """The same for a partition by number."""
        hosted = self._current(index)
        if hosted is None:
            return refuse(Code.NOT_COORDINATOR)
        if hosted.loading is not None:
            return refuse(Code.COORDINATOR_LOAD_IN_PROGRESS)
        answer = query(hosted.shard)
        if hosted.partition.high_watermark >= hosted.end_offset:
            return answer
        return self._read_later(hosted, answer, refuse)

    async def _read_later(self, hosted: _Hosted[S], answer: Answer, refuse: Refuse) -> Answer:
        code = await self._committed(hosted, hosted.end_offset)
        return answer if code is Code.NONE else refuse(code)

    async def _wait(self, hosted: _Hosted[S], token: int, future: asyncio.Future[Answer]) -> Answer:
        try:
            return await future
        finally:
            hosted.waiting.pop(token, None)

    def _now(self) -> Now:
        return Now(self._clock.wall_ms(), self._clock.monotonic_ms())

    # Outcomes.

    def _apply(
        self, hosted: _Hosted[S], outcome: Outcome, token: int | None, refuse: Refuse | None
    ) -> None:
        """Carry an outcome out: write, reply, and answer the asker when it may be."""
        for waiter, answer in outcome.replies:
            self._reply(hosted, waiter, answer)
        if not outcome.records:
            self._settle(hosted, outcome, token, refuse, Code.NONE)
            return
        code = self._write(hosted, outcome)
        end_offset = hosted.end_offset
        if code is not Code.NONE or hosted.partition.high_watermark >= end_offset:
            self._settle(hosted, outcome, token, refuse, code)
            return

        def settle(code: Code) -> None:
            self._settle(hosted, outcome, token, refuse, code)
            if self._hosted.get(hosted.index) is hosted:
                self._arm(hosted, self._now())

        self._when_committed(hosted, end_offset, settle)

    def _settle(
        self,
        hosted: _Hosted[S],
        outcome: Outcome,
        token: int | None,
        refuse: Refuse | None,
        code: Code,
    ) -> None:
        """The records are committed, or refused: go on with `then`, or answer."""
        if outcome.then is not None:
            self._apply(hosted, outcome.then(code, self._now()), token, refuse)
        elif token is not None and outcome.answer is not None:
            if code is not Code.NONE and refuse is not None:
                self._reply(hosted, token, refuse(code))
            else:
                self._reply(hosted, token, outcome.answer)

    def _reply(self, hosted: _Hosted[S], token: int, answer: Answer) -> None:
        if token == self._asking:
            self._answer = answer
            return
        waiting = hosted.waiting.pop(token, None)
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(answer)

    def _write(self, hosted: _Hosted[S], outcome: Outcome) -> Code:
        """Append the records and replay what was appended, batch by batch.

        Unless the outcome is divisible, all of it was or, with a code other than NONE, nothing.
        """
        partition, shard = hosted.partition, hosted.shard
        refused = partition.replica.refuses(_ALL_IN_SYNC)
        if partition.failure is not None or refused is not None:
            return _coordinator_code(refused or Code.KAFKA_STORAGE_ERROR)
        if self._room.full:
            # What little is left is the reserve, which deleting topics and records needs.
            return _coordinator_code(Code.KAFKA_STORAGE_ERROR)
        wall_ms = self._clock.wall_ms()
        bytes_max = partition.log.settings.max_message_bytes
        try:
            # All of them before the first is written: a fault leaves nothing behind.
            left = [[(r, NewRecord(*shard.encode(r), wall_ms)) for r in outcome.records]]
        except RecordFault as fault:
            log.error(
                "a coordinator's record cannot be written; what asked for it is refused",
                partition=partition.name,
                fault=str(fault),
            )
            return Code.UNKNOWN_SERVER_ERROR
        while left:
            records = left.pop()
            batch = build_batch([encoded for _, encoded in records])
            if len(batch) > bytes_max:
                if not outcome.divisible or len(records) == 1:
                    return _coordinator_code(Code.RECORD_LIST_TOO_LARGE)
                half = len(records) // 2
                left += [records[half:], records[:half]]
                continue
            try:
                partition.append_as_leader(batch, wall_ms)
            except DiskFull as full:
                if not isinstance(full, NoDescriptor):
                    self._room.no_room()
                return _coordinator_code(Code.KAFKA_STORAGE_ERROR)
            except DiskFault as fault:
                partition.fail(str(fault))
                return _coordinator_code(Code.KAFKA_STORAGE_ERROR)
            for record, _ in records:
                shard.replay(record)
            hosted.end_offset = partition.log.log_end_offset
        return Code.NONE

    # Commitment.

    def _when_committed(
        self, hosted: _Hosted[S], end_offset: int, settle: Callable[[Code], None]
    ) -> None:
        """Call `settle` once: with NONE when all below `end_offset` is committed, or why not."""
        partition = hosted.partition
        settled = False

        def wake() -> None:
            # Not at once: this may be inside of another append, whose records come first.
            committed = partition.high_watermark >= end_offset
            self._loop.call_soon(finish, Code.NONE if committed else Code.NOT_COORDINATOR)

        def finish(code: Code) -> None:
            nonlocal settled
            if not settled:
                settled = True
                timeout.cancel()
                with _fail_stop():
                    settle(code)

        timeout = self._loop.call_later(
            self._commit_timeout_s, finish, _coordinator_code(Code.REQUEST_TIMED_OUT)
        )
        if partition.when_committed(end_offset, wake):
            finish(Code.NONE)

    async def _committed(self, hosted: _Hosted[S], end_offset: int) -> Code:
        future: asyncio.Future[Code] = self._loop.create_future()

        def settle(code: Code) -> None:
            if not future.done():
                future.set_result(code)

        self._when_committed(hosted, end_offset, settle)
        return await future

    # Timers.

    def _arm(self, hosted: _Hosted[S], now: Now) -> None:
        """Have the shard's next timer fire in time; one that is armed too early is left alone."""
        due_ms = hosted.shard.deadline()
        if due_ms is None or (hosted.armed_ms is not None and hosted.armed_ms <= due_ms):
            return
        if hosted.timer is not None:
            hosted.timer.cancel()
        hosted.armed_ms = due_ms
        delay_s = max(due_ms - now.monotonic_ms, 0) / 1000
        hosted.timer = self._loop.call_later(delay_s, self._fire, hosted)

    def _fire(self, hosted: _Hosted[S]) -> None:
        hosted.timer = hosted.armed_ms = None
        if self._current(hosted.index) is hosted:
            with _fail_stop():
                self._run_due(hosted)

    def _run_due(self, hosted: _Hosted[S]) -> None:
        now = self._now()
        until_ms = now.monotonic_ms + _SLICE_MS
        while (outcome := hosted.shard.expire(now)) is not None:
            self._apply(hosted, outcome, None, None)
            now = self._now()
            if now.monotonic_ms >= until_ms:
                break
        self._arm(hosted, now)

    # Loading.

    def _load(self, hosted: _Hosted[S]) -> None:
        """Replay the log: at once where it is short, else in slices beside other work."""
        partition_log = hosted.partition.log
        if partition_log.log_end_offset == partition_log.log_start_offset:
            self._loaded(hosted)
            return
        hosted.loading = self._loop.create_task(self._load_slices(hosted))
        hosted.loading.add_done_callback(crash.on_bug)

    def _loaded(self, hosted: _Hosted[S]) -> None:
        hosted.loading = None
        now = self._now()
        self._apply(hosted, hosted.shard.loaded(now), None, None)
        self._arm(hosted, now)

    async def _load_slices(self, hosted: _Hosted[S]) -> None:
        began_ms = self._clock.monotonic_ms()
        try:
            loaded = await load(hosted.shard, hosted.partition, self._clock)
        except Unloadable as fault:
            self._unloadable[hosted.index] = hosted.leader_epoch
            hosted.loading = None
            self._drop(hosted)
            log.error(
                "a coordinator could not load; what it coordinates is not available here",
                partition=hosted.partition.name,
                offset=fault.offset,
                fault=str(fault),
            )
            return
        self._loaded(hosted)
        if loaded.skipped.count:
            self._say_skipped(hosted.partition, loaded.skipped)
        log.debug(
            "coordinator loaded",
            partition=hosted.partition.name,
            records=loaded.records,
            ms=self._clock.monotonic_ms() - began_ms,
        )

    def _say_skipped(self, partition: Partition, skipped: Skipped) -> None:
        """One line for a log, however much of it is unreadable."""
        self.records_unreadable += skipped.count
        log.error(
            "records of a coordinator cannot be read and are passed over; what they said is lost",
            partition=partition.name,
            records=skipped.count,
            first_offset=skipped.first_offset,
            first_fault=skipped.first_fault,
        )


async def awaited(answered: Answered) -> Answer:
    """What `submit` or `read` gave, waited for where it has to be."""
    return await answered if asyncio.iscoroutine(answered) else answered


@contextmanager
def _fail_stop() -> Iterator[None]:
    """For callbacks of the loop, which would only log a bug of ours: end the process."""
    try:
        yield
    except Bug as bug:
        crash.now(bug)


_CODES: Final = {
    Code.UNKNOWN_TOPIC_OR_PARTITION: Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_ENOUGH_REPLICAS: Code.COORDINATOR_NOT_AVAILABLE,
    Code.REQUEST_TIMED_OUT: Code.COORDINATOR_NOT_AVAILABLE,
    Code.NOT_LEADER_OR_FOLLOWER: Code.NOT_COORDINATOR,
    Code.KAFKA_STORAGE_ERROR: Code.NOT_COORDINATOR,
    Code.MESSAGE_TOO_LARGE: Code.UNKNOWN_SERVER_ERROR,
    Code.RECORD_LIST_TOO_LARGE: Code.UNKNOWN_SERVER_ERROR,
}


def _coordinator_code(code: Code) -> Code:
    """What a client of a coordinator is told when its log could not be written."""
    return _CODES.get(code, code)
