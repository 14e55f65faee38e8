"""The two clocks, handed to whoever needs one so that the simulator can hand in its own."""

from typing import Protocol


class Clock(Protocol):
    """Wall time stamps records; monotonic time measures waits and never goes back."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since some fixed moment."""
        ...
