"""`python -m e2e.kubernetes.cel`: definitions and admission policies on a real API server."""

import sys
from itertools import chain

from e2e.kubernetes.cel.protection import check
from e2e.kubernetes.cel.run import install, run
from e2e.kubernetes.cel.sweep import sweep
from e2e.rig.api import start


def main() -> int:
    """0 where every case came out as its table says, else 1; each that did not is printed."""
    wrong = count = 0
    with start() as api:
        install(api)
        tables = ((f"{case.table}: {case.name}", fault) for case, fault in run(api))
        for tried, fault in chain(tables, sweep(api), check(api)):
            count += 1
            if fault is not None:
                wrong += 1
                print(f"{tried}: {fault}", file=sys.stderr)
    print(f"{count - wrong} of {count} requests were taken or refused as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
