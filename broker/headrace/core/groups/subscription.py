"""The topics in a consumer's subscription (the metadata it joins a group with).

The broker looks at this one part of the embedded consumer protocol, to know which offsets are
still in use. Format: version, array of topics, user data (ConsumerProtocolSubscription.json).
"""

import struct
from typing import Final

_HEAD: Final = struct.Struct(">hi")
_LENGTH: Final = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> list[str] | None:
    """The topics, or None where the bytes are not a subscription."""
    try:
        version, count = _HEAD.unpack_from(metadata, 0)
        if version < 0 or count < 0 or count > len(metadata):
            return None
        position = _HEAD.size
        topics = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            position += _LENGTH.size
            if length < 0 or position + length > len(metadata):
                return None
            topics.append(metadata[position : position + length].decode())
            position += length
    except (struct.error, UnicodeDecodeError):
        return None
    return topics
