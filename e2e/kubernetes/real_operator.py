"""The operator's own command, with the brokers of a Cluster at an address that is given.

    python -m e2e.kubernetes.real_operator --control=default/c=127.0.0.1:9091 -- run --http-port=0

On an API server alone no pod runs, so brokers have no names in a Kubernetes' DNS. That apart
nothing differs from what the image starts: the words after `--` are the command's. `--as-version`
makes it another build of the operator.
"""

import argparse
from functools import partial
from unittest import mock

from headrace.base import version
from headrace.client.address import Address


def addresses(control: list[str], namespace: str, name: str) -> tuple[Address, ...]:
    """Of the brokers of a Cluster."""
    for entry in control:
        cluster, _, where = entry.partition("=")
        host, _, port = where.rpartition(":")
        if cluster == f"{namespace}/{name}":
            return (Address(host, int(port)),)
    return (Address(f"{name}-brokers.{namespace}.invalid", 9091),)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", action="append", default=[])
    parser.add_argument("--as-version", default=version.VERSION)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    with mock.patch.object(version, "VERSION", options.as_version):
        # Not before: the defaults of its options name the version.
        from headrace_operator import main as command
    admin = partial(command.Admin, partial(addresses, options.control))
    with mock.patch.object(command, "Admin", admin):
        command.main(options.words)


if __name__ == "__main__":
    main()
