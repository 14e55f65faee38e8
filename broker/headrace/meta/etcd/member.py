"""One endpoint of etcd: its channel, the services on it, and whether it may be used.

Each endpoint has a channel of its own, so TLS checks each member's own name. Automatic retries
are off (design.md, decision 5): a hidden retry of a transaction that was applied looks like a
Conflict.
"""

import asyncio
import re
from typing import Final

import grpc
import grpc.aio
from etcd3aio._protobuf import WatchStub
from etcd3aio.auth import AuthService
from etcd3aio.errors import EtcdError
from etcd3aio.kv import KVService
from etcd3aio.lease import LeaseService
from etcd3aio.maintenance import MaintenanceService

from headrace.meta.store import Unusable

_OLDEST: Final = {(3, 5): 28, (3, 6): 9}
"""By minor version the oldest patch: before it a linearizable read could be stale."""
_MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""One page, or one batch of a watch; etcd bounds what one transaction holds at 1.5 MiB."""
_OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    # etcd closes connections that ping more often than each 5 s, or with no call under way.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A member that comes back, perhaps under another address, is found within seconds.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # New certificates take connections of their own.
    ("grpc.use_local_subchannel_pool", 1),
)

FAULTS: Final = (EtcdError, grpc.RpcError, TimeoutError)
"""What the services raise where a call failed."""


def words(fault: BaseException) -> str:
    """A fault as one line: gRPC's own details where there are any."""
    cause = fault if isinstance(fault, grpc.RpcError) else fault.__cause__
    if isinstance(cause, grpc.aio.AioRpcError):
        text = cause.details() or cause.code().name
        return "no answer in time" if cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED else text
    return "no answer in time" if isinstance(fault, TimeoutError) else str(fault)


class Member:
    """One endpoint. `token` goes with each call where etcd's authentication is on; `made` is the
    event loop's time at which its channel was opened."""

    __slots__ = ("auth", "channel", "checked", "endpoint", "kv", "lease", "made", "maintenance",
                 "preparing", "token", "watch")  # fmt: skip

    def __init__(
        self, endpoint: str, credentials: grpc.ChannelCredentials | None, *, made: float
    ) -> None:
        target = f"dns:///{endpoint}"
        self.endpoint, self.made = endpoint, made
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        self.kv = KVService(self.channel, max_attempts=1)
        self.lease = LeaseService(self.channel, max_attempts=1)
        self.maintenance = MaintenanceService(self.channel, max_attempts=1)
        self.auth = AuthService(self.channel, max_attempts=1)
        # etcd3aio's own watch, when its connection breaks, resumes behind events never given.
        self.watch = WatchStub(self.channel)
        self.checked = False
        self.token = ""
        self.preparing = asyncio.Lock()

    def ready(self) -> bool:
        """Connected, and checked since."""
        return self.checked and self.connected()

    def connected(self) -> bool:
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    def use_token(self, token: str) -> None:
        self.token = token
        for service in (self.kv, self.lease, self.maintenance, self.auth):
            service.set_token(token or None)

    async def check(self, timeout_s: float) -> None:
        """Connect and ask for the version: FAULTS say why not. Raises Unusable."""
        self.checked = False
        status = await self.maintenance.status(timeout=timeout_s)
        refuse_old(self.endpoint, status.version)
        self.checked = True


def refuse_old(endpoint: str, version: str) -> None:
    """Raises Unusable where this version of etcd must not be trusted."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is not None:
        major, minor, patch = map(int, numbers.groups())
        newer = (major, minor) > max(_OLDEST)
        if newer or patch >= _OLDEST.get((major, minor), patch + 1):
            return
    raise Unusable(
        f"etcd at {endpoint} is version {version}, which can answer reads with values that are "
        "out of date: upgrade it to 3.6.9 or newer (or 3.5.28)."
    )
