"""One partition's replica: who leads, what is in sync, and how far readers may see.

The leader knows the end offset of every in-sync replica; the high watermark is the least of
them, and nothing above it is acknowledged to acks=all or shown to a consumer. In durability
`ack` only what is on the device counts, here and in every follower, so that a power cut of all
replicas loses nothing acknowledged (rule 32; decision 8).

Pure: the shell tells what happened, the return value says whether the high watermark moved.

Invariants:
- log_start_offset <= high_watermark <= log_end_offset;
- the high watermark never goes back while this replica leads.
"""

from headrace.base.errors import Code
from headrace.base.image import PartitionState
from headrace.base.invariant import invariant


class Replica:
    """Mutable and without a dataclass: it is touched for every batch."""

    __slots__ = (
        "_alone",
        "_counts_durable",
        "_follower_ends",
        "_own_end",
        "broker_id",
        "high_watermark",
        "isr",
        "leader",
        "leader_epoch",
        "log_end_offset",
        "min_insync_replicas",
        "replicas",
    )

    def __init__(
        self, broker_id: int, *, log_end_offset: int, high_watermark: int, counts_durable: bool
    ) -> None:
        self.broker_id = broker_id
        self.leader = -1
        self.leader_epoch = -1
        self.replicas: tuple[int, ...] = ()
        self.isr: tuple[int, ...] = ()
        self.min_insync_replicas = 1
        self.log_end_offset = log_end_offset
        self.high_watermark = min(high_watermark, log_end_offset)
        self._counts_durable = counts_durable
        # How much of our own log counts, and of each follower's in the ISR. What recovery found
        # behind the watermark may be in the page cache alone.
        self._own_end = self.high_watermark if counts_durable else log_end_offset
        self._follower_ends: dict[int, int] = {}
        self._alone = False

    @property
    def is_leader(self) -> bool:
        return self.leader == self.broker_id

    @property
    def last_stable_offset(self) -> int:
        """What read_committed may see; below the high watermark once transactions exist."""
        return self.high_watermark

    def assign(self, state: PartitionState) -> bool:
        """Follow the metadata; an older leader epoch is ignored. True if the watermark moved."""
        if state.leader_epoch < self.leader_epoch:
            return False
        became_leader = state.leader == self.broker_id and state.leader_epoch > self.leader_epoch
        self.leader, self.leader_epoch = state.leader, state.leader_epoch
        self.replicas, self.isr = state.replicas, state.isr
        self._alone = state.isr == (self.broker_id,)
        if became_leader:
            # Rule 12: what followers were known to hold under an older leader does not count.
            self._follower_ends = {}
        return self.is_leader and self._advance()

    def refuses(self, acks: int) -> Code | None:
        """Why a produce cannot be taken now, before anything is appended (rule 22)."""
        if self.leader != self.broker_id:
            return Code.NOT_LEADER_OR_FOLLOWER
        if acks == -1 and len(self.isr) < min(self.min_insync_replicas, len(self.replicas)):
            return Code.NOT_ENOUGH_REPLICAS
        return None

    def appended(self, log_end_offset: int) -> bool:
        """Our log grew (in the page cache). HOT."""
        self.log_end_offset = log_end_offset
        if self._counts_durable:
            return False
        self._own_end = log_end_offset
        if self._alone:
            self.high_watermark = log_end_offset
            return True
        return self._advance()

    def flushed(self, offset: int) -> bool:
        """Everything of ours below `offset` is on the device."""
        if not self._counts_durable:
            return False
        invariant(offset <= self.log_end_offset, "flushed beyond the end", offset=offset)
        self._own_end = max(self._own_end, offset)
        return self._advance()

    def count_durable(self, counts_durable: bool) -> bool:
        """Change of the topic's durability: from `ack` to another mode all of ours counts."""
        self._counts_durable = counts_durable
        if not counts_durable:
            self._own_end = self.log_end_offset
        return self._advance()

    def check_epoch(self, current_leader_epoch: int) -> Code | None:
        """Compare the epoch a client believes in (KIP-320); -1 means that it did not say."""
        if current_leader_epoch in (-1, self.leader_epoch):
            return None
        if current_leader_epoch < self.leader_epoch:
            return Code.FENCED_LEADER_EPOCH
        return Code.UNKNOWN_LEADER_EPOCH

    def _advance(self) -> bool:
        if self.broker_id not in self.isr:
            return False
        followers = (self._follower_ends.get(m, 0) for m in self.isr if m != self.broker_id)
        candidate = min((self._own_end, *followers))
        if candidate <= self.high_watermark:
            return False
        self.high_watermark = candidate
        return True

    def check(self) -> None:
        """The invariants, for tests and simulation."""
        invariant(self.high_watermark <= self.log_end_offset, "watermark beyond the end")
        invariant(self.is_leader or not self.isr or self.leader in (*self.replicas, -1), "leader")
