"""All members of an etcd: whom to ask next, with which certificates, password and token.

One member is asked until it fails, then the next. The files are read again when they change, and
new channels then take the old ones' place.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from headrace.meta.etcd.member import FAULTS, Member, words
from headrace.meta.etcd.options import EtcdOptions
from headrace.meta.store import Unavailable, Unusable

T = TypeVar("T")

_FILES_EVERY_S: Final = 5.0
"""Time between two looks at the certificate and password files."""
_RENEWED_AFTER_S: Final = 5.0
"""Age of a channel without a connection before it gives way to a new one. Where its name did not
resolve for a while, gRPC asks for it again after up to two minutes, and tries the former address
until then; a pod of Kubernetes comes back under another one."""
_TOKEN_REFUSED: Final = (
    "invalid auth token",
    "revision of auth store is old",
    "user name is empty",
    "permission denied",  # All that a watch says of a bad token.
)
_AUTH_IS_OFF: Final = "authentication is not enabled"


class Members:
    """`read` for calls that may be asked again, `write` for those that may not."""

    def __init__(self, options: EtcdOptions) -> None:
        self.options = options
        self.timeout_s = options.request_timeout_ms / 1000
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._current = options.first_endpoint % len(options.endpoints)
        self._members: list[Member] = []
        self._token = ""
        self._trust: Any = None
        self._stamp: list[tuple[int, int, int]] = []
        self._look_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    async def read(self, call: Callable[[Member], Awaitable[T]]) -> T:
        """Ask members in turn until one answers. Raises Unavailable, Unusable."""
        why = ""
        for _ in self.options.endpoints:
            member = await self.prepared()
            try:
                return await self._once(member, call)
            except FAULTS as fault:
                why = self.failed(member, fault)
        raise Unavailable(why)

    async def write(self, call: Callable[[Member], Awaitable[T]]) -> T:
        """Ask once. Raises Unavailable where nothing was sent, else what the call raises."""
        member = await self.prepared()
        try:
            return await self._once(member, call)
        except FAULTS as fault:
            self.failed(member, fault)
            raise

    async def prepared(self) -> Member:
        """A member that is connected, checked and given a token. Raises Unavailable, Unusable."""
        self._look_at_files()
        why: list[Unavailable] = []
        for _ in self.options.endpoints:
            member = self._members[self._current]
            try:
                await self._prepare(member)
                return member
            except Unusable as refusal:
                self._next(member)
                why.append(refusal)
            except FAULTS as fault:
                why.append(Unavailable(self.failed(member, fault)))
        unusable = [error for error in why if isinstance(error, Unusable)]
        raise (unusable or why)[-1]

    def failed(self, member: Member, fault: BaseException) -> str:
        """Ask another one next; returns the sentence for whoever must know."""
        member.checked = False
        self._token_refused(member, words(fault))
        self._next(member)
        self._renew(member)
        return f"etcd at {member.endpoint} did not answer: {words(fault)}"

    async def close(self) -> None:
        self.closed = True
        await asyncio.gather(*(member.channel.close() for member in self._members))
        await asyncio.gather(*self._closing)

    def _token_refused(self, member: Member, why: str) -> bool:
        """Whether a new token may cure this; the old one is forgotten."""
        refused = bool(member.token) and any(text in why for text in _TOKEN_REFUSED)
        if refused and self._token == member.token:
            self._token = ""
        return refused

    def _next(self, member: Member) -> None:
        if member in self._members and self._members[self._current] is member:
            self._current = (self._current + 1) % len(self._members)

    def _renew(self, member: Member) -> None:
        """Another channel in place of one that has no connection, so that names resolve anew."""
        if self.closed or member not in self._members or member.connected():
            return
        if self._loop.time() - member.made >= _RENEWED_AFTER_S:
            self._members[self._members.index(member)] = self._made(member.endpoint)
            self._close(member)

    def _made(self, endpoint: str) -> Member:
        return Member(endpoint, self._trust, made=self._loop.time())

    def _close(self, member: Member) -> None:
        closing = self._loop.create_task(member.channel.close(self.timeout_s))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _once(self, member: Member, call: Callable[[Member], Awaitable[T]]) -> T:
        """One call; again only where etcd refused the token, which means that it did nothing."""
        try:
            return await self.answered(call(member))
        except FAULTS as fault:
            if not self._token_refused(member, words(fault)):
                raise
            await self._prepare(member)
            return await self.answered(call(member))

    async def _prepare(self, member: Member) -> None:
        """Connect, with a new token where etcd has forgotten the old one."""
        try:
            await self._connect(member)
        except FAULTS as fault:
            if not self._token_refused(member, words(fault)):
                raise
            await self._connect(member)

    async def _connect(self, member: Member) -> None:
        if member.ready() and (self._token or not self.options.username):
            member.use_token(self._token)
            return
        async with member.preparing:
            if self.options.username and not self._token:
                self._token = await self.answered(self._authenticate(member))
            member.use_token(self._token)
            if not member.ready():
                await self.answered(member.check(self.timeout_s))

    async def _authenticate(self, member: Member) -> str:
        options = self.options
        password = (_read(options.password_file) or b"").decode().strip("\r\n")
        try:
            answer = await member.auth.authenticate(
                options.username, password, timeout=self.timeout_s
            )
        except FAULTS as fault:
            if _AUTH_IS_OFF in words(fault):
                return ""
            raise
        return str(answer.token)

    async def answered(self, call: Awaitable[T]) -> T:
        """A call whose channel is closed under it is cancelled by gRPC: that is a fault too."""
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise TimeoutError from None
        except grpc.aio.UsageError as closed:
            raise TimeoutError from closed

    def _look_at_files(self) -> None:
        """Read certificates and password again where a file changed. Raises Unavailable."""
        if self.closed:
            raise Unavailable("the connection to etcd is closed")
        now = self._loop.time()
        if self._members and now < self._look_at:
            return
        self._look_at = now + _FILES_EVERY_S
        stamp = [_stamp(name) for name in self.options.files]
        if self._members and stamp == self._stamp:
            return
        self._trust = self._credentials()
        self._stamp, self._token = stamp, ""
        for member in self._members:
            self._close(member)
        self._members = [self._made(endpoint) for endpoint in self.options.endpoints]

    def _credentials(self) -> Any:
        options = self.options
        if not options.ca_file:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_read(options.ca_file),
            private_key=_read(options.key_file),
            certificate_chain=_read(options.cert_file),
        )


def _stamp(name: str) -> tuple[int, int, int]:
    try:
        found = os.stat(name)
    except OSError as error:
        raise _unreadable(name, error) from error
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _read(name: str) -> bytes | None:
    if not name:
        return None
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError) -> Unavailable:
    return Unavailable(f"the file {name} for etcd cannot be read: {error.strerror or error}")
