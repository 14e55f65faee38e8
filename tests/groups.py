"""A group shard with a log of bytes and two clocks: what the coordinator runtime is to it.

Every token is answered at most once; after each event the groups' invariants hold and what is
live equals a replay of the log (`laws`, on by default).
"""

import struct
from collections.abc import Callable
from typing import Any

from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.offsets import CommitTopic
from headrace.core.groups.requests import Commit, Heartbeat, Join, Leave, Sync
from headrace.core.groups.shard import GroupShard

START_MS = 1_700_000_000_000


def subscription(*topics: str) -> bytes:
    """A consumer's metadata, version 0."""
    names = b"".join(struct.pack(">h", len(t)) + t.encode() for t in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


class Driver:
    """`hold`: records are appended and replayed, but not committed until `release`."""

    def __init__(self, settings: BrokerSettings | None = None, *, laws: bool = True) -> None:
        self.settings = settings or BrokerSettings(group_initial_rebalance_delay_ms=0)
        self.shard = GroupShard(self.settings)
        self.log: list[tuple[bytes, bytes | None]] = []
        self.now_ms = 0
        self.answers: dict[int, Any] = {}
        self.order: list[int] = []
        """Tokens in the order of their answers."""
        self.tokens = 0
        self.fresh = 0
        self.hold = False
        self.refuse_writes: Code | None = None
        self.lost: set[int] = set()
        """Tokens of requests that a restart forgot."""
        self._held: list[tuple[Outcome, int]] = []
        self._laws = laws
        self._apply(self.shard.loaded(self.now), 0)

    @property
    def now(self) -> Now:
        return Now(START_MS + self.now_ms, self.now_ms)

    # The runtime.

    def _apply(self, outcome: Outcome, token: int) -> None:
        for waiter, answer in outcome.replies:
            self._answer(waiter, answer)
        code = Code.NONE
        if outcome.records:
            if self.refuse_writes is not None:
                code = self.refuse_writes
            else:
                for record in outcome.records:
                    self.log.append(self.shard.encode(record))
                    self.shard.replay(record)
                if self.hold:
                    self._held.append((outcome, token))
                    return
        self._settle(outcome, token, code)

    def _settle(self, outcome: Outcome, token: int, code: Code) -> None:
        if outcome.then is not None:
            self._apply(outcome.then(code, self.now), token)
        elif outcome.answer is not None:
            self._answer(token, outcome.answer if code is Code.NONE else code)

    def _answer(self, token: int, answer: Any) -> None:
        assert token not in self.answers, f"token {token} is answered twice"
        assert 0 < token <= self.tokens, f"token {token} was never given out"
        self.answers[token] = answer
        self.order.append(token)

    def release(self, code: Code = Code.NONE) -> None:
        """Commit what is held, in order, or say that it will never be."""
        held, self._held = self._held, []
        for outcome, token in held:
            self._settle(outcome, token, code)
        self.check()

    def ask(self, handle: Callable[[int], Outcome]) -> int:
        """Handle one request; its token."""
        self.tokens += 1
        token = self.tokens
        self._apply(handle(token), token)
        self.check()
        return token

    def wait(self, ms: int) -> None:
        """Let time pass; timers fire in their order, each at its own time."""
        end = self.now_ms + ms
        while (due := self.shard.deadline()) is not None and due <= end:
            self.now_ms = max(self.now_ms, due)
            while (outcome := self.shard.expire(self.now)) is not None:
                self._apply(outcome, 0)
                self.check()
        self.now_ms = end

    def restart(self) -> None:
        """Lose everything but the log."""
        self._held.clear()
        self.lost |= set(range(1, self.tokens + 1)) - self.answers.keys()
        self.shard = self.replayed()
        self._apply(self.shard.loaded(self.now), 0)
        self.check()

    def replayed(self) -> GroupShard:
        """A shard that knows the log and nothing else."""
        shard = GroupShard(self.settings)
        for key, value in self.log:
            record = shard.decode(key, value)
            assert record is not None
            shard.replay(record)
        return shard

    def check(self) -> None:
        """Invariants of the groups, and the law of replay."""
        if not self._laws:
            return
        for group in self.shard.groups.values():
            group.check()
        if not any(g.written is None for g in self.shard.groups.values()):
            assert self.replayed().durable() == self.shard.durable()

    # Requests.

    def join(
        self,
        member_id: str = "",
        *,
        group: str = "g",
        instance: str | None = None,
        client: str = "c",
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        protocol_type: str = "consumer",
        protocols: tuple[tuple[str, bytes], ...] = (("range", subscription("t")),),
        version: int = 9,
    ) -> int:
        self.fresh += 1
        request = Join(
            group_id=group,
            member_id=member_id,
            group_instance_id=instance,
            client_id=client,
            client_host="/127.0.0.1",
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            protocol_type=protocol_type,
            protocols=protocols,
            fresh_id=str(self.fresh),
            needs_member_id=version >= 4,
            may_skip_assignment=version >= 9,
        )
        return self.ask(lambda token: self.shard.join(request, token, self.now))

    def sync(
        self,
        member_id: str,
        generation: int,
        assignments: dict[str, bytes] | None = None,
        *,
        group: str = "g",
        instance: str | None = None,
        protocol_type: str | None = None,
        protocol_name: str | None = None,
    ) -> int:
        request = Sync(
            group_id=group,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocol_name=protocol_name,
            assignments=tuple((assignments or {}).items()),
        )
        return self.ask(lambda token: self.shard.sync(request, token, self.now))

    def beat(
        self, member_id: str, generation: int, *, group: str = "g", instance: str | None = None
    ) -> Code:
        request = Heartbeat(
            group_id=group,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=instance,
        )
        token = self.ask(lambda token: self.shard.heartbeat(request, token, self.now))
        code: Code = self.answers[token]["error_code"]
        return code

    def leave(self, *members: tuple[str, str | None], group: str = "g") -> int:
        request = Leave(group_id=group, members=members)
        return self.ask(lambda token: self.shard.leave(request, token, self.now))

    def commit(
        self,
        offsets: dict[tuple[str, int], int],
        *,
        member_id: str = "",
        generation: int = -1,
        group: str = "g",
        instance: str | None = None,
        version: int = 9,
        metadata: str | None = None,
        retention_ms: int = -1,
    ) -> Any:
        """The answer: topics, or the Code that refuses them all (None while it waits)."""
        from uuid import UUID

        request = Commit(
            group_id=group,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=instance,
            api_version=version,
            retention_ms=retention_ms,
        )
        topics = [
            CommitTopic(topic, UUID(int=7), [(index, offset, 5, metadata)])
            for (topic, index), offset in offsets.items()
        ]

        def handle(token: int) -> Outcome:
            outcome = self.shard.commit(request, topics, self.now)
            return Outcome(answer=outcome) if isinstance(outcome, Code) else outcome

        return self.answers.get(self.ask(handle))

    # Shortcuts.

    def member(self, *, group: str = "g", **joining: Any) -> tuple[str, int]:
        """Join as a new dynamic member, with the id it is first given: (id, token)."""
        first = self.join(group=group, **joining)
        member_id = self.answers[first]["member_id"]
        return member_id, self.join(member_id, group=group, **joining)

    def stable(self, count: int, *, group: str = "g", **joining: Any) -> list[str]:
        """A stable group of that many members, the leader first."""
        joined = [self.member(group=group, client=f"m{i}", **joining) for i in range(count)]
        self.wait(self.settings.group_initial_rebalance_delay_ms)
        for member_id, token in joined[1:]:
            assert token in self.answers, member_id
        generation = self.answers[joined[0][1]]["generation_id"]
        leader = self.answers[joined[0][1]]["leader"]
        members = sorted((m for m, _ in joined), key=lambda m: m != leader)
        given = {m: m.encode() for m in members}
        for member_id in reversed(members):
            token = self.sync(
                member_id, generation, given if member_id == leader else None, group=group
            )
        assert self.answers[token]["error_code"] == Code.NONE
        return members
