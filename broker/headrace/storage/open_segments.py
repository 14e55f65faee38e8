"""A bound on the descriptors that rolled segments and indexes hold, shared by all logs."""

from collections import OrderedDict

from headrace.storage.segment import Segment


class OpenSegments:
    """The most recently read segments keep their files open, at most `limit` of them.

    Three descriptors a segment. An evicted segment drops its files; a slice that is being sent
    holds its own reference, so nobody loses a descriptor that is in use.
    """

    __slots__ = ("_segments", "limit")

    def __init__(self, limit: int = 256) -> None:
        self.limit = limit
        self._segments: OrderedDict[Segment, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._segments)

    def use(self, segment: Segment) -> None:
        """`segment` is about to be read."""
        segments = self._segments
        if segment in segments:
            segments.move_to_end(segment)
            return
        segments[segment] = None
        if len(segments) > self.limit:
            segments.popitem(last=False)[0].let_go()

    def forget(self, segment: Segment) -> None:
        """`segment` is closed or deleted."""
        self._segments.pop(segment, None)
