"""What the operator asks and tells a managed etcd: etcd's own JSON over HTTPS, member by member.

Members are reached by the addresses of their pods and known by the names in their certificate.
Source: etcd 3.6, api/etcdserverpb/rpc.proto (the gateway under /v3); 64-bit numbers are text.
"""

import base64
import hashlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from headrace_operator.kinds import Object
from headrace_operator.plan.observed_cluster import EtcdSize, ListedMember

ANSWER_TIMEOUT_S: Final = 5.0
DEFRAGMENT_TIMEOUT_S: Final = 90.0
"""A member rewrites its whole database: 2 GiB, its quota at most, within a pass' own deadline."""
SNAPSHOT_SILENCE_S: Final = 30.0
_DIGEST_BYTES: Final = 32
"""A snapshot ends in the SHA-256 of all before it."""
_LINE_BYTES_MAX: Final = 1 << 20
"""One message of a snapshot: etcd sends 32 KiB at a time, a third more as base64."""


class EtcdFault(Exception):
    """A member did not answer, or refused; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMember:
    """Where one member is: its pod's address, and the name that its certificate is made for."""

    address: str
    host: str
    port: int

    @property
    def url(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{address}:{self.port}"


def tls(secret: Object) -> ssl.SSLContext:
    """What a client shows and trusts, from a Secret with ca.crt, tls.crt and tls.key."""
    data = {name: base64.b64decode(text) for name, text in (secret.get("data") or {}).items()}
    context = ssl.create_default_context(cadata=data["ca.crt"].decode())
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tls.crt", "tls.key"):
            (Path(folder) / name).write_bytes(data[name])
        context.load_cert_chain(Path(folder) / "tls.crt", Path(folder) / "tls.key")
    return context


async def size(member: EtcdMember, context: ssl.SSLContext) -> EtcdSize:
    """How large its database is. Raises EtcdFault."""
    said = await _ask(member, context, "maintenance/status")
    return EtcdSize(
        total_bytes=int(said.get("dbSize", 0)),
        in_use_bytes=int(said.get("dbSizeInUse", 0)),
        leads=said.get("leader") == said["header"]["member_id"],
    )


async def listed(member: EtcdMember, context: ssl.SSLContext) -> tuple[ListedMember, ...]:
    """Whom etcd counts as its members, by a majority's word. Raises EtcdFault."""
    said = await _ask(member, context, "cluster/member/list", {"linearizable": True})
    return tuple(
        ListedMember(
            id=int(one["ID"]), name=one.get("name", ""), peer_urls=tuple(one.get("peerURLs") or ())
        )
        for one in said.get("members") or ()
    )


async def remove(member: EtcdMember, context: ssl.SSLContext, member_id: int) -> None:
    """Take a member out, for ever. Raises EtcdFault."""
    await _ask(member, context, "cluster/member/remove", {"ID": str(member_id)})


async def add(member: EtcdMember, context: ssl.SSLContext, peer_url: str) -> None:
    """Count a new member that will start empty. Raises EtcdFault."""
    await _ask(member, context, "cluster/member/add", {"peerURLs": [peer_url]})


async def defragment(member: EtcdMember, context: ssl.SSLContext) -> None:
    """Give the room that its database does not use back; it answers nobody meanwhile."""
    await _ask(member, context, "maintenance/defragment", timeout_s=DEFRAGMENT_TIMEOUT_S)


async def disarm(member: EtcdMember, context: ssl.SSLContext) -> None:
    """Let etcd take writes again that had no room. Raises EtcdFault."""
    said = await _ask(member, context, "maintenance/alarm")
    for alarm in said.get("alarms") or ():
        if alarm.get("alarm") == "NOSPACE":
            await _ask(member, context, "maintenance/alarm", {**alarm, "action": "DEACTIVATE"})


async def snapshot(member: EtcdMember, context: ssl.SSLContext) -> AsyncIterator[bytes]:
    """The member's database as `etcdutl snapshot restore` takes it, piece by piece.

    Raises EtcdFault, at the end too: what has not ended without one is no snapshot.
    """
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=ANSWER_TIMEOUT_S, sock_read=SNAPSHOT_SILENCE_S
    )
    seen, tail = hashlib.sha256(), b""
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=_LINE_BYTES_MAX) as session,
            session.post(
                f"{member.url}/v3/maintenance/snapshot",
                json={},
                ssl=context,
                server_hostname=member.host,
            ) as answer,
        ):
            async for line in answer.content:
                piece = base64.b64decode(_result(member, json.loads(line)).get("blob", ""))
                tail += piece
                seen.update(tail[:-_DIGEST_BYTES])
                tail = tail[-_DIGEST_BYTES:]
                yield piece
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failed:
        raise EtcdFault(f"etcd at {member.host}: {failed or 'no answer in time'}") from failed
    if tail != seen.digest():
        raise EtcdFault(f"etcd at {member.host}: the snapshot is not whole")


def _result(member: EtcdMember, line: Mapping[str, Any]) -> Mapping[str, Any]:
    if "result" not in line:
        raise EtcdFault(f"etcd at {member.host}: {_words(line)}")
    found: Mapping[str, Any] = line["result"]
    return found


async def _ask(
    member: EtcdMember,
    context: ssl.SSLContext,
    what: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Any:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                f"{member.url}/v3/{what}",
                json=body or {},
                ssl=context,
                server_hostname=member.host,
            ) as answer,
        ):
            said = await answer.json(content_type=None)
            if answer.status != 200:
                raise EtcdFault(f"etcd at {member.host}, asked for {what}: {_words(said)}")
            return said
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failed:
        why = str(failed) or "no answer in time"
        raise EtcdFault(f"etcd at {member.host}, asked for {what}: {why}") from failed


def _words(said: Any) -> str:
    """The sentence in an error of the gateway."""
    error = said.get("error", said) if isinstance(said, dict) else said
    words = error.get("message") if isinstance(error, dict) else error
    return str(words or said)
