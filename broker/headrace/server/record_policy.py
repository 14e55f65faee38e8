"""What a topic asks for beyond storing the client's batch as it came.

Most topics ask for nothing and have no policy: their batches are never opened. A policy opens
the batch for one of: a codec other than the producer's, a compacted topic (every record needs a
key), or `record.validation=full`. Log append time is written into the header alone.
"""

from headrace.base.errors import Code, Refusal
from headrace.config.topic import LogSettings
from headrace.wire import records
from headrace.wire.batch import CODEC_MASK, BatchHeader
from headrace.wire.compression import CODECS

_DEFAULTS = LogSettings()


class RecordPolicy:
    """Immutable; made anew when the topic's settings change."""

    __slots__ = ("_codec", "_level", "_max_message_bytes", "append_time", "keyed", "validates")

    def __init__(self, settings: LogSettings) -> None:
        self.append_time = settings.message_timestamp_type == "LogAppendTime"
        self.keyed = "compact" in settings.cleanup_policy
        self.validates = self.keyed or settings.record_validation == "full"
        self._max_message_bytes = settings.max_message_bytes
        wanted = settings.compression_type
        self._codec = None if wanted == "producer" else CODECS[wanted]
        self._level = _level(settings)

    @classmethod
    def of(cls, settings: LogSettings) -> "RecordPolicy | None":
        """The policy of these settings, or None where batches are stored as they come."""
        policy = cls(settings)
        if policy.append_time or policy.validates or policy._codec is not None:
            return policy
        return None

    def opens(self, header: BatchHeader) -> bool:
        """Whether the records of such a batch are looked at, or packed anew."""
        return self.validates or self.repacks(header)

    def repacks(self, header: BatchHeader) -> bool:
        """Whether the topic keeps its records in another codec."""
        return self._codec is not None and header.attributes & CODEC_MASK != self._codec

    def repack(self, header: BatchHeader, payload: bytes) -> bytearray | Refusal:
        """The batch with its unpacked records in the topic's codec.

        MESSAGE_TOO_LARGE where that is above the topic's limit: Kafka checks again, too.
        """
        made = records.seal_batch(header, payload, self._codec or 0, self._level)
        if len(made) > self._max_message_bytes:
            return Refusal(
                Code.MESSAGE_TOO_LARGE,
                f"a batch of {len(made)} bytes in the topic's codec; it takes "
                f"{self._max_message_bytes}",
            )
        return made


def _level(settings: LogSettings) -> int | None:
    """The codec's level; None, its own default, where the topic leaves it at Kafka's default."""
    field = f"compression_{settings.compression_type}_level"
    level = getattr(settings, field, None)
    return None if level is None or level == getattr(_DEFAULTS, field) else int(level)
