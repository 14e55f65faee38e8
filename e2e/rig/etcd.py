"""A real etcd: the program that clusters are coordinated with, built once from Go modules."""

from pathlib import Path

from e2e.rig import binaries


def binary() -> Path:
    """The path of etcd 3.6, built first where the cache has none. Raises BuildFailed."""
    return binaries.binary("etcd")


def client_binary() -> Path:
    """The path of etcdctl of the same version. Raises BuildFailed."""
    return binaries.binary("etcdctl")
