"""Groups under random members: joins, syncs, leaves, commits, silence, lost writes, restarts.

Nothing is predicted; what must hold whatever happens is checked (most of it by the driver after
every event): invariants of each group, live state equals a replay of the log, a token is
answered once and in the end always, generations only grow, and what a leader assigns reaches
each member as it was sent, in that generation.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from headrace.base.errors import Code
from headrace.base.invariant import Bug
from headrace.config.broker import BrokerSettings
from headrace.core.groups import offsets as offsets_module
from headrace.core.groups.group import ClassicGroup, GroupState, Member
from headrace.core.groups.rebalance import Rebalances
from headrace.core.groups.shard import GroupShard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.groups import Driver, subscription

GROUPS = ("g", "h")
WEIGHTS = {
    "join": 30,
    "sync": 30,
    "beat": 10,
    "commit": 10,
    "leave": 3,
    "wait": 12,
    "hold": 6,
    "fail": 4,
    "restart": 1,
    "forget": 2,
}
SESSION_MS, REBALANCE_MS = 10_000, 20_000


class Client:
    """A member as it sees itself: an id, a generation, and at most one request under way."""

    def __init__(self, group: str, instance: str | None) -> None:
        self.group, self.instance = group, instance
        self.member_id = ""
        self.generation = -1
        self.leads = False
        self.joined = False
        """Has a place in a generation and not yet its assignment."""
        self.asked: tuple[str, int, int] | None = None
        """(what, token, generation asked in) of the request that waits."""
        self.others: tuple[str, ...] = ()


class Play:
    """A seeded run of a few clients against one shard."""

    def __init__(self, seed: int, steps: int) -> None:
        self.rng = random.Random(seed)
        self.steps = steps
        delay = self.rng.choice((0, 3000))
        self.driver = Driver(
            BrokerSettings(
                group_initial_rebalance_delay_ms=delay,
                group_max_size=self.rng.choice((3, 100)),
                offsets_retention_minutes=self.rng.choice((1, 10_000)),
                offsets_retention_check_interval_ms=30_000,
            )
        )
        self.clients = [
            Client(self.rng.choice(GROUPS), self.rng.choice((None, None, "s1", "s2")))
            for _ in range(6)
        ]
        self.generations: dict[str, int] = {}
        self.sent: dict[tuple[str, int], dict[str, bytes]] = {}
        """What a leader assigned, by group and generation; the newest counts."""
        self.assigned = 0

    def run(self) -> None:
        for _ in range(self.steps):
            self._step()
            self._look()
        self._end()

    def _step(self) -> None:
        rng, driver = self.rng, self.driver
        client = rng.choice(self.clients)
        what = rng.choices(
            (
                "join",
                "sync",
                "beat",
                "commit",
                "leave",
                "wait",
                "hold",
                "fail",
                "restart",
                "forget",
            ),
            (30, 30, 10, 10, 3, 12, 6, 4, 1, 2),
        )[0]
        if what in ("join", "sync") and rng.random() < 0.8:
            # Mostly, clients do what clients do.
            what = "sync" if client.joined else "join"
        if what == "wait":
            driver.wait(rng.choice((1, 500, 3000, 9000, 21_000)))
        elif what == "hold":
            driver.hold = rng.random() < 0.4
            if not driver.hold:
                driver.release(rng.choice((Code.NONE, Code.NONE, Code.COORDINATOR_NOT_AVAILABLE)))
        elif what == "fail":
            driver.refuse_writes = Code.NOT_COORDINATOR if rng.random() < 0.3 else None
        elif what == "restart":
            driver.restart()
            for other in self.clients:
                other.asked = None
        elif what == "forget":
            client.member_id = "" if client.asked is None else client.member_id
        elif what == "leave":
            driver.leave((client.member_id, client.instance), group=client.group)
        elif what == "beat":
            driver.beat(
                client.member_id, client.generation, group=client.group, instance=client.instance
            )
        elif what == "commit":
            driver.commit(
                {(rng.choice("tu"), rng.randrange(3)): rng.randrange(100)},
                member_id=client.member_id,
                generation=client.generation,
                group=client.group,
                instance=client.instance,
                retention_ms=rng.choice((-1, -1, 5000)),
            )
        elif client.asked is None or rng.random() < 0.1:
            # Now and then a client asks again while it still waits: its connection broke.
            self._ask(client, what)

    def _ask(self, client: Client, what: str) -> None:
        driver, rng = self.driver, self.rng
        if what == "join":
            topics = rng.choice((("t",), ("t",), ("t", "u")))
            token = driver.join(
                client.member_id,
                group=client.group,
                instance=client.instance,
                session_ms=SESSION_MS,
                rebalance_ms=REBALANCE_MS,
                protocols=(("range", subscription(*topics)),),
                version=rng.choice((3, 8, 9)),
            )
        else:
            given: dict[str, bytes] = {}
            if client.leads:
                stamp = rng.randrange(1 << 30)
                given = {m: f"{client.generation}:{m}:{stamp}".encode() for m in client.others}
            before = self.driver.shard.groups.get(client.group)
            takes = (
                before is not None
                and before.state is GroupState.COMPLETING_REBALANCE
                and before.generation_id == client.generation
                and before.leader_id == client.member_id
                and before.assigning != client.generation
                and before.refuses(client.member_id, client.instance) is None
            )
            if takes:
                self.sent[client.group, client.generation] = given
            token = driver.sync(
                client.member_id,
                client.generation,
                given,
                group=client.group,
                instance=client.instance,
            )
        client.asked = (what, token, client.generation)

    def _look(self) -> None:
        """Let clients see their answers, and look at what groups say."""
        for client in self.clients:
            if client.asked is None or client.asked[1] not in self.driver.answers:
                continue
            what, token, generation = client.asked
            client.asked = None
            self._take(client, what, self.driver.answers[token], generation)
        for group in self.driver.shard.groups.values():
            self._grows(group.group_id, group.generation_id)
        for name in tuple(self.generations):
            if name not in self.driver.shard.groups:
                del self.generations[name]

    def _grows(self, group: str, generation: int) -> None:
        # A restart may lose a generation that was not written; nobody synced in it.
        written = self.driver.shard.groups[group].written
        floor = written.generation if written is not None else 0
        assert generation >= floor
        self.generations[group] = generation

    def _take(self, client: Client, what: str, answer: Any, generation: int) -> None:
        code = answer if isinstance(answer, Code) else answer["error_code"]
        if what == "join":
            if code in (Code.NONE, Code.MEMBER_ID_REQUIRED):
                client.member_id = answer["member_id"]
            elif code in (Code.UNKNOWN_MEMBER_ID, Code.GROUP_MAX_SIZE_REACHED):
                client.member_id = ""
            client.leads = client.joined = False
            if code is Code.NONE:
                client.joined = True
                client.generation = answer["generation_id"]
                client.others = tuple(m["member_id"] for m in answer["members"])
                client.leads = answer["leader"] == client.member_id and bool(client.others)
                if client.leads:
                    assert client.member_id in client.others
            return
        client.joined = False
        if code is Code.NONE:
            self._as_sent(client, generation, answer["assignment"])
        elif code in (Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID):
            client.member_id = ""

    def _as_sent(self, client: Client, generation: int, kept: bytes) -> None:
        sent = self.sent.get((client.group, generation), {})
        if client.member_id in sent:
            assert kept == sent[client.member_id]
        else:
            # A static member under a new id has what its predecessor was given.
            ours = [a for m, a in sent.items() if m.startswith(f"{client.instance}-")]
            assert kept in (b"", *ours)
        self.assigned += kept != b""

    def _end(self) -> None:
        """Writes work again and time passes: nobody waits any more."""
        driver = self.driver
        driver.hold, driver.refuse_writes = False, None
        driver.release()
        for _ in range(40):
            driver.wait(10_000)
        self._look()
        for group in driver.shard.groups.values():
            assert group.state is GroupState.EMPTY
            assert not group.pending_joins
        waiting = set(range(1, driver.tokens + 1)) - driver.answers.keys() - driver.lost
        assert not waiting, "a request was never answered"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_members_do(seed: int) -> None:
    Play(seed, 120).run()


def _twice(original: Callable[..., None]) -> Callable[..., None]:
    def answer_syncs(self: Rebalances, group: Any, code: Code, out: Any, now: Any) -> None:
        original(self, group, code, out, now)
        out.replies += out.replies[:1]

    return answer_syncs


def _uncounted(original: Callable[..., Any]) -> Callable[..., Any]:
    def take_join(self: ClassicGroup, member: Member) -> Any:
        before = self.awaiting_joins
        token = original(self, member)
        self.awaiting_joins = before
        return token

    return take_join


def _forgets_waiting(original: Callable[..., None]) -> Callable[..., None]:
    def drop(self: Rebalances, group: ClassicGroup, member: Member, out: Any) -> None:
        group.take_join(member)
        member.sync_token = None
        original(self, group, member, out)

    return drop


def _not_only_replay(original: Callable[..., Any]) -> Callable[..., Any]:
    def commit(self: GroupShard, request: Any, topics: Any, now: Any) -> Any:
        outcome = original(self, request, topics, now)
        if not isinstance(outcome, Code):
            outcome.records = []
            for topic in topics:
                for index, *_ in topic.partitions:
                    self.offsets.put(
                        request.group_id,
                        topic.name,
                        index,
                        offsets_module.OffsetValue(offset=1, commit_timestamp_ms=1),
                    )
        return outcome

    return commit


@pytest.mark.parametrize(
    ("owner", "name", "plant"),
    [
        (Rebalances, "answer_syncs", _twice),
        (ClassicGroup, "take_join", _uncounted),
        (Rebalances, "drop", _forgets_waiting),
        (GroupShard, "commit", _not_only_replay),
    ],
)
def test_planted_bugs_are_caught(
    owner: type, name: str, plant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, plant(getattr(owner, name)))
    with pytest.raises((AssertionError, Bug)):
        for seed in range(200):
            Play(seed, 120).run()
