"""What a topic asks for beyond storing the client's batch as it came.

Most topics ask for nothing and have no policy: their batches are never opened. A policy opens
the batch for one of: log append time, a codec other than the producer's, a compacted topic
(every record needs a key), or `record.validation=full`.
"""

from headrace.base.errors import Refusal
from headrace.config.topic import LogSettings
from headrace.wire import records
from headrace.wire.batch import CODEC_MASK, BatchHeader, set_append_time
from headrace.wire.compression import CODECS

_DEFAULTS = LogSettings()


class RecordPolicy:
    """Immutable; made anew when the topic's settings change."""

    __slots__ = ("_append_time", "_codec", "_keyed", "_level", "_max_message_bytes", "_validates")

    def __init__(self, settings: LogSettings) -> None:
        self._append_time = settings.message_timestamp_type == "LogAppendTime"
        self._keyed = "compact" in settings.cleanup_policy
        self._validates = self._keyed or settings.record_validation == "full"
        self._max_message_bytes = settings.max_message_bytes
        wanted = settings.compression_type
        self._codec = None if wanted == "producer" else CODECS[wanted]
        self._level = _level(settings)

    @classmethod
    def of(cls, settings: LogSettings) -> "RecordPolicy | None":
        """The policy of these settings, or None where batches are stored as they come."""
        policy = cls(settings)
        if policy._append_time or policy._validates or policy._codec is not None:
            return policy
        return None

    def apply(
        self, batch: memoryview, header: BatchHeader, now_ms: int
    ) -> bytes | bytearray | memoryview | Refusal:
        """The batch to store, or why it is refused (INVALID_RECORD, CORRUPT_MESSAGE)."""
        if self._validates:
            refusal = records.validate(batch, header, keys_required=self._keyed)
            if refusal is not None:
                return refusal
        made: bytes | bytearray | memoryview = batch
        if self._codec is not None and header.attributes & CODEC_MASK != self._codec:
            recompressed = records.recompress(
                batch,
                header,
                self._codec,
                self._level,
                max_message_bytes=self._max_message_bytes,
            )
            if isinstance(recompressed, Refusal):
                return recompressed
            made = recompressed
        if self._append_time:
            set_append_time(memoryview(made), 0, now_ms)
        return made


def _level(settings: LogSettings) -> int | None:
    """The codec's level; None, its own default, where the topic leaves it at Kafka's default."""
    field = f"compression_{settings.compression_type}_level"
    level = getattr(settings, field, None)
    return None if level is None or level == getattr(_DEFAULTS, field) else int(level)
