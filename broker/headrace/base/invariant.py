"""Our own bugs crash: a wrong log is worse than a dead broker.

`invariant` is a function and not `assert`, so `python -O` cannot remove it. `Bug` is a
BaseException, so no `except Exception` can swallow it: the broker's shell lets it end the
process, tests and the simulator see it raised.
"""


class Bug(BaseException):
    """A condition that our own code promised did not hold."""


def invariant(condition: object, why: str, **facts: object) -> None:
    """Raise `Bug` with the facts unless the condition holds."""
    if not condition:
        shown = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        raise Bug(f"{why} ({shown})" if shown else why)
