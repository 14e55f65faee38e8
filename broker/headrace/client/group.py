"""A member of a consumer group, in the classic protocol with eager rebalances.

`GroupConsumer.poll` joins when needed, so whoever polls never reads a partition it does not own.
Offsets of what `poll` returned are committed on the next poll after `auto_commit_ms`, before
every rebalance, and on leaving: at least once, as Kafka's own consumer.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Self

from headrace.base.errors import Code
from headrace.client.assignment import ASSIGNORS, Plan
from headrace.client.cluster import RETRY_MS, RETRY_MS_MAX, Cluster
from headrace.client.consumer import Consumer, OnTrouble, TopicPartition
from headrace.client.errors import (
    BrokerRefused,
    ClientError,
    ConnectionLost,
    RequestTimedOut,
    Unreachable,
    check,
    code_of,
)
from headrace.client.fetched import Fetched
from headrace.client.offsets import (
    EARLIEST,
    LATEST,
    commit_offsets,
    committed_offsets,
    list_offsets,
)
from headrace.client.settings import ConsumerSettings
from headrace.wire.consumer_protocol import (
    PROTOCOL_TYPE,
    Assignment,
    Subscription,
    read_assignment,
    read_subscription,
    write_assignment,
    write_subscription,
)
from headrace.wire.versions import HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, SYNC_GROUP

_LANE: Final = "group"
"""A connection of its own: JoinGroup waits in the broker and would hold up everything else."""

_REJOIN = frozenset(
    {
        Code.REBALANCE_IN_PROGRESS,
        Code.ILLEGAL_GENERATION,
        Code.UNKNOWN_MEMBER_ID,
        Code.NOT_COORDINATOR,
        Code.COORDINATOR_NOT_AVAILABLE,
        Code.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_LOST = (ConnectionLost, RequestTimedOut, Unreachable)


class GroupConsumer:
    """An async context manager; leaving it commits and leaves the group."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        topics: Iterable[str],
        *,
        from_beginning: bool = False,
        session_timeout_ms: int = 45_000,
        rebalance_timeout_ms: int = 60_000,
        auto_commit_ms: int = 5_000,
        settings: ConsumerSettings | None = None,
        on_trouble: OnTrouble | None = None,
    ) -> None:
        self.group = group
        self.member_id = ""
        self.generation_id = -1
        self.assigned = asyncio.Event()
        self._cluster = cluster
        self._topics = tuple(sorted(topics))
        self._from_beginning = from_beginning
        self._session_timeout_ms = session_timeout_ms
        self._rebalance_timeout_ms = rebalance_timeout_ms
        self._auto_commit_ms = auto_commit_ms
        self._consumer = Consumer(cluster, settings, on_trouble)
        self._coordinator = -1
        self._rejoin = True
        self._heartbeats: asyncio.Task[None] | None = None
        self._committed: dict[TopicPartition, int] = {}
        self._commit_due = 0.0

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The partitions this member owns, and the offsets that `poll` gives next."""
        return self._consumer.positions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None or issubclass(error, asyncio.CancelledError | KeyboardInterrupt):
                await self.commit()
        except ClientError:
            if error is None:
                raise
        finally:
            await self._stop_heartbeats()
            await self._consumer.assign({})
            await self._leave()

    async def poll(self, timeout_ms: float) -> Fetched | None:
        """The next batches, or None after the timeout or a rebalance. Raises ClientError."""
        loop = asyncio.get_running_loop()
        if self._rejoin:
            await self._join()
        elif loop.time() >= self._commit_due:
            await self.commit()
        try:
            return await self._consumer.poll(timeout_ms)
        except BrokerRefused as refused:
            if refused.code is not Code.OFFSET_OUT_OF_RANGE:
                raise
            # Retention overtook this member: go on at the beginning or the end, as configured.
            self._committed.clear()
            start = await self._start_offsets(self.positions)
            await self._consumer.assign(start)
            return None

    async def commit(self) -> None:
        """Commit what `poll` has returned. A commit that a rebalance overtook is not an error."""
        self._commit_due = asyncio.get_running_loop().time() + self._auto_commit_ms / 1000
        changed = {p: o for p, o in self.positions.items() if self._committed.get(p) != o}
        if not changed or self.generation_id < 0:
            return
        try:
            await commit_offsets(
                self._cluster,
                self.group,
                changed,
                node_id=self._coordinator,
                member_id=self.member_id,
                generation_id=self.generation_id,
                lane="commit",
            )
        except BrokerRefused as refused:
            if refused.code not in _REJOIN:
                raise
            self._rejoin = True
        except _LOST:
            self._rejoin = True
        else:
            self._committed.update(changed)

    async def _join(self) -> None:
        """Join until this member has its partitions, and knows where to start in them."""
        self.assigned.clear()
        await self._stop_heartbeats()
        await self.commit()
        await self._consumer.assign({})
        pause_ms = RETRY_MS
        while True:
            try:
                owned = await self._join_once()
                self._committed = await committed_offsets(self._cluster, self.group, owned)
                start = await self._start_offsets(owned)
                break
            except BrokerRefused as refused:
                if refused.code is Code.UNKNOWN_MEMBER_ID:
                    self.member_id = ""
                elif refused.code not in _REJOIN:
                    raise
            except _LOST as lost:
                limit_ms = self._consumer.settings.unreachable_timeout_ms
                if self._consumer.trouble.lasts(lost, limit_ms):
                    raise
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, RETRY_MS_MAX)
        self._rejoin = False
        self._consumer.trouble.over()
        await self._consumer.assign(start)
        self._commit_due = asyncio.get_running_loop().time() + self._auto_commit_ms / 1000
        self._heartbeats = asyncio.create_task(self._beat(), name=f"heartbeat {self.group}")
        self.assigned.set()

    async def _join_once(self) -> list[TopicPartition]:
        self._coordinator = await self._cluster.coordinator(self.group)
        subscription = write_subscription(Subscription(topics=self._topics, owned={}))
        fields: dict[str, Any] = {
            "group_id": self.group,
            "session_timeout_ms": self._session_timeout_ms,
            "rebalance_timeout_ms": self._rebalance_timeout_ms,
            "member_id": self.member_id,
            "group_instance_id": None,
            "protocol_type": PROTOCOL_TYPE,
            "protocols": [{"name": name, "metadata": subscription} for name in ASSIGNORS],
            "reason": None,
        }
        answer = await self._ask(JOIN_GROUP, fields)
        if code_of(answer.error_code) is Code.MEMBER_ID_REQUIRED:
            self.member_id = fields["member_id"] = answer.member_id
            answer = await self._ask(JOIN_GROUP, fields)
        check(answer.error_code, f"Joining group {self.group!r}")
        self.member_id = answer.member_id
        self.generation_id = answer.generation_id
        plan: Plan = {}
        if answer.leader == answer.member_id and not getattr(answer, "skip_assignment", False):
            plan = await self._plan(answer)
        fields = {
            "group_id": self.group,
            "generation_id": self.generation_id,
            "member_id": self.member_id,
            "group_instance_id": None,
            "protocol_type": PROTOCOL_TYPE,
            "protocol_name": answer.protocol_name,
            "assignments": [
                {"member_id": member, "assignment": write_assignment(Assignment(partitions=given))}
                for member, given in plan.items()
            ],
        }
        synced = await self._ask(SYNC_GROUP, fields)
        check(synced.error_code, f"Joining group {self.group!r}")
        given = read_assignment(synced.assignment).partitions
        return [(topic, index) for topic, indexes in given.items() for index in indexes]

    async def _plan(self, answer: Any) -> Plan:
        """This member leads: deal the partitions out."""
        subscriptions = {m.member_id: read_subscription(m.metadata).topics for m in answer.members}
        topics = {topic for subscribed in subscriptions.values() for topic in subscribed}
        known = (await self._cluster.refresh(sorted(topics))).topics
        counts = {name: len(topic.partitions) for name, topic in known.items() if topic.partitions}
        return ASSIGNORS[answer.protocol_name](subscriptions, counts)

    async def _start_offsets(self, owned: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        start = {p: self._committed[p] for p in owned if p in self._committed}
        timestamp = EARLIEST if self._from_beginning else LATEST
        missing = {p: timestamp for p in owned if p not in start}
        return {**start, **(await list_offsets(self._cluster, missing))}

    async def _beat(self) -> None:
        """Tell the coordinator that this member lives, until it says to join again."""
        fields = {
            "group_id": self.group,
            "generation_id": self.generation_id,
            "member_id": self.member_id,
            "group_instance_id": None,
        }
        while True:
            await asyncio.sleep(min(3.0, self._session_timeout_ms / 3000))
            try:
                code = code_of((await self._ask(HEARTBEAT, fields)).error_code)
            except _LOST:
                code = Code.NOT_COORDINATOR
            if code is not Code.NONE:
                self._rejoin = True
                return

    async def _leave(self) -> None:
        if not self.member_id:
            return
        fields = {
            "group_id": self.group,
            "member_id": self.member_id,
            "members": [
                {"member_id": self.member_id, "group_instance_id": None, "reason": "closing"}
            ],
        }
        try:
            await self._ask(LEAVE_GROUP, fields)
        except ClientError:
            pass  # the session runs out by itself

    async def _ask(self, api_key: int, fields: dict[str, Any]) -> Any:
        timeout_ms = self._rebalance_timeout_ms + self._cluster.request_timeout_ms
        return await self._cluster.request(
            api_key, fields, node_id=self._coordinator, lane=_LANE, timeout_ms=timeout_ms
        )

    async def _stop_heartbeats(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.cancel()
            await asyncio.wait([self._heartbeats])
            self._heartbeats = None
