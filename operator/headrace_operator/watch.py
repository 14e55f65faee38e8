"""kopf as the alarm clock: its watches call `feed`, and nothing else of kopf is used.

No index, daemon, timer or change handler: those write annotations and finalizers, or hold every
object's start-up back. kopf's own state is never stored in an object.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf
from kubernetes.aio.client.configuration import Configuration

from headrace_operator.access import token
from headrace_operator.kinds import Kind, Object
from headrace_operator.settings import Settings
from headrace_operator.watched import Watched

Heard = Callable[[Kind, str | None, Object], None]

FINALIZER: Final = "headrace.io/kopf"
"""kopf sets none for on.event; named, so that it could never clash with another kopf operator."""

_SERVER_TIMEOUT_SECONDS: Final = 300
_CLIENT_TIMEOUT_SECONDS: Final = 310
"""A watch ends by the server's hand first, or a stream that died silently would never end."""

_CONNECT_TIMEOUT_SECONDS: Final = 10
_REQUEST_TIMEOUT_SECONDS: Final = 30
_LISTED_AT_ONCE: Final = 500
_IDLE_SECONDS: Final = 0.1
"""kopf keeps a task for each object that long after its last event: 5,000 at start-up."""

_LOGIN: Final = timedelta(minutes=10)
"""A service account's token is read again that often; the kubelet renews it within the hour."""


def registry(kinds: list[Watched], heard: Heard, access: Configuration) -> kopf.OperatorRegistry:
    """kopf's handlers: one a kind, each one call, and the login."""
    made = kopf.OperatorRegistry()
    for each in kinds:
        _listen(made, each.kind, heard)

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        bearer = await token(access)
        return kopf.ConnectionInfo(
            server=access.host,
            ca_path=access.ssl_ca_cert,
            ca_data=access.ca_cert_data,
            certificate_path=access.cert_file,
            private_key_path=access.key_file,
            insecure=not access.verify_ssl,
            token=bearer,
            expiration=datetime.now(UTC) + _LOGIN if bearer else None,
        )

    return made


def _listen(made: kopf.OperatorRegistry, kind: Kind, heard: Heard) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=f"heard-{kind.plural}", registry=made)
    async def on_event(event: Any, **_: Any) -> None:
        heard(kind, event["type"], dict(event["object"]))


def kopf_settings(kinds: list[Watched]) -> kopf.OperatorSettings:
    """What must differ from kopf's defaults."""
    made = kopf.OperatorSettings()
    made.process.ultimate_exiting_timeout = None
    made.posting.enabled = False
    made.scanning.disabled = True
    made.persistence.finalizer = FINALIZER
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="kopf.headrace.io")
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="kopf.headrace.io")
    made.watching.server_timeout = _SERVER_TIMEOUT_SECONDS
    made.watching.client_timeout = _CLIENT_TIMEOUT_SECONDS
    made.watching.connect_timeout = _CONNECT_TIMEOUT_SECONDS
    made.watching.chunk_size = _LISTED_AT_ONCE
    made.networking.request_timeout = _REQUEST_TIMEOUT_SECONDS
    made.networking.connect_timeout = _CONNECT_TIMEOUT_SECONDS
    made.queueing.idle_timeout = _IDLE_SECONDS
    for each in kinds:
        if each.labels:
            made.watching.label_selectors[each.kind.group, each.kind.plural] = each.labels
    return made


async def watch(
    settings: Settings,
    kinds: list[Watched],
    heard: Heard,
    access: Configuration,
    started: asyncio.Event,
) -> None:
    """Watch until cancelled or signalled; `started` is set once kopf has taken the process'
    signal handlers. Raises what kopf cannot get over; the process then starts anew."""
    await kopf.operator(
        registry=registry(kinds, heard, access),
        settings=kopf_settings(kinds),
        standalone=True,
        clusterwide=settings.all_namespaces,
        namespaces=settings.namespaces,
        ready_flag=started,
    )
