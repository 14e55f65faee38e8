"""The real operator for Topics and Quotas, whose every Cluster is the broker at --broker-port.

Started by `runtime_world` with --kubeconfig, --name, --http-port and --broker-port.
"""

import argparse
import asyncio
import os
from pathlib import Path

from headrace.client.address import Address
from headrace_operator import logs
from headrace_operator.access import configuration
from headrace_operator.admin import Admin
from headrace_operator.context import Context
from headrace_operator.kinds import CLUSTER, Key
from headrace_operator.main import RECONCILERS
from headrace_operator.runtime import Runtime
from headrace_operator.settings import Settings


async def leave(context: Context, key: Key) -> float | None:
    """Clusters are none of this operator's: it has no nodes to run brokers on."""
    return None


async def operate(settings: Settings, broker_port: int) -> int:
    access = await configuration(settings.kubeconfig)
    admin = Admin(lambda namespace, name: (Address("127.0.0.1", broker_port),))
    return await Runtime(settings, access, {**RECONCILERS, CLUSTER: leave}, admin=admin).run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    options = parser.parse_args()
    logs.configure("INFO")
    settings = Settings(
        kubeconfig=options.kubeconfig,
        identity=f"{options.name}_{os.getpid()}",
        operator_namespace="default",
        http_port=options.http_port,
        watch_nodes=False,
    )
    os._exit(asyncio.run(operate(settings, options.broker_port)))


if __name__ == "__main__":
    main()
