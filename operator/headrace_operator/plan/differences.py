"""Whether an object that exists is as it was rendered. Pure.

The API server fills in defaults and writes quantities in its own way, so what exists is never equal
to what was rendered; it has to cover it. What was taken out of a rendering shows in the mark that
each object carries of the rendering it was applied from.
"""

from typing import Any

from headrace_operator.build.names import RENDERED
from headrace_operator.build.object import annotation
from headrace_operator.crd.quantity import amount
from headrace_operator.kinds import Object


def differs(live: Object | None, wanted: Object) -> bool:
    """Whether the object has to be applied."""
    return (
        live is None
        or annotation(live, RENDERED) != annotation(wanted, RENDERED)
        or not covers(live, wanted)
    )


def covers(live: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there."""
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted and live is None
        return all(_absent_or_covers(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            return False
        return all(covers(a, b) for a, b in zip(live, wanted, strict=True))
    return live == wanted or _same_amount(live, wanted)


def _absent_or_covers(live: Any, wanted: Any) -> bool:
    """The API server drops what is empty."""
    return True if live is None and wanted in (None, {}, [], "") else covers(live, wanted)


def _same_amount(live: Any, wanted: Any) -> bool:
    try:
        return amount(str(live)) == amount(str(wanted))
    except ValueError:
        return False
