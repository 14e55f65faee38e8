"""`python -m e2e.rig` starts the rig and keeps it until Ctrl-C; `python -m e2e.rig clean` removes
what a killed run left."""

import contextlib
import signal
import sys
import time

from e2e.rig import clean, cluster


def main() -> None:
    """Runs the rig in the foreground."""
    if sys.argv[1:] == ["clean"]:
        clean.clean()
        return
    # Asked to end while it starts, it still takes down what is up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with cluster.start() as rig:
        print(f"export KUBECONFIG={rig.kubeconfig}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1.0)


if __name__ == "__main__":
    main()
