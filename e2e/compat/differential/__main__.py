"""`python -m e2e.compat.differential KAFKA HEADRACE [PATTERN]`: play to two running brokers.

KAFKA and HEADRACE are host:port. For work on one difference; `make compat` starts the brokers.
"""

import sys
from fnmatch import fnmatch

from e2e.compat.allowed import ALLOWED
from e2e.compat.differential.play import Address, Outcome, play_all
from e2e.compat.sequences import all_sequences


def main(kafka: str, headrace: str, pattern: str = "*") -> int:
    """Print every difference that nothing allows; 0 if there is none."""
    chosen = [item for item in all_sequences() if fnmatch(item.name, pattern)]
    outcomes = play_all(chosen, _address(kafka), _address(headrace), ALLOWED, _tell)
    bad = sum(outcome.bad for outcome in outcomes)
    print(f"{len(outcomes)} sequences, {sum(o.steps for o in outcomes)} steps, {bad} differ")
    return 1 if bad else 0


def _tell(outcome: Outcome) -> None:
    if not outcome.bad:
        return
    print(outcome.sequence, outcome.broken or "")
    for item in outcome.differences:
        if item.allowed is None:
            print(f"  {item.step}: {item.path}: kafka={item.kafka!r} headrace={item.headrace!r}")


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
