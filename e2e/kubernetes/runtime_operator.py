"""An operator whose resources only become Ready: the runtime alone, for checks against a real API.

    python -m e2e.kubernetes.runtime_operator --kubeconfig FILE --name a --http-port 8081

A Topic with the annotation `e2e/crash` hits a bug of ours, one with `e2e/block` blocks the event
loop for so many seconds.
"""

import argparse
import asyncio
import os
import sys
import time
import traceback
from pathlib import Path

from headrace.base.invariant import Bug, invariant
from headrace_operator import logs, reconcile_definition, status
from headrace_operator.access import configuration
from headrace_operator.admin import Admin
from headrace_operator.context import Context
from headrace_operator.kinds import CLUSTER, CRD, QUOTA, TOPIC, Key
from headrace_operator.runtime import Runtime
from headrace_operator.settings import Settings


async def say_ready(context: Context, key: Key) -> float | None:
    """Says Ready, or does what the annotations ask for."""
    obj = context.store.at(key)
    if obj is None:
        return None
    annotations = obj["metadata"].get("annotations") or {}
    invariant("e2e/crash" not in annotations, "a check asked for it")
    if "e2e/block" in annotations:
        time.sleep(float(annotations["e2e/block"]))  # noqa: ASYNC251
    await status.write(context, obj, status.kstatus(status.READY, "Said", "It is Ready."))
    return None


async def operate(settings: Settings) -> int:
    access = await configuration(settings.kubeconfig)
    reconcilers = dict.fromkeys((CLUSTER, TOPIC, QUOTA), say_ready)
    reconcilers[CRD] = reconcile_definition.reconcile
    return await Runtime(settings, access, reconcilers, admin=Admin()).run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--namespace", action="append", default=[])
    parser.add_argument("--no-watch-nodes", action="store_true")
    options = parser.parse_args()
    logs.configure("INFO")
    settings = Settings(
        kubeconfig=options.kubeconfig,
        identity=f"{options.name}_{os.getpid()}",
        operator_namespace="default",
        http_port=options.http_port,
        namespaces=tuple(options.namespace),
        watch_nodes=not options.no_watch_nodes,
    )
    try:
        code = asyncio.run(operate(settings))
    except Bug:
        traceback.print_exc()
        code = 70
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
