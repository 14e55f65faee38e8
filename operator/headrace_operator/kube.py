"""One thin asynchronous client of the API server, over kubernetes.aio's transport.

Objects go in and out as plain dicts: the generated model classes would cost tens of megabytes
and drop fields they do not know. Every request has a deadline and is sent once: a hidden retry
would turn an unknown outcome into a false conflict. Faults come out as `errors`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from headrace_operator.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    KubeError,
    NotFound,
    Refused,
    Unreachable,
)
from headrace_operator.kinds import EVENT, Key, Kind, Object, kind_of

FIELD_MANAGER: Final = "headrace-operator"
STATUS_MANAGER: Final = "headrace-operator-status"
"""Apart from FIELD_MANAGER, or applying the spec's half would drop the status' half."""

REQUEST_TIMEOUT_SECONDS: Final = 15.0
"""Over the API server's usual second by far, below a reconcile's own deadline."""

PAGE_LIMIT: Final = 500
"""Objects a page of a LIST: 5,000 Topics are ten pages of about 1 MB."""

_LIST_ATTEMPTS: Final = 3
"""A continue token lives five minutes; one that expired means that we were very slow."""

_APPLY: Final = "application/apply-patch+yaml"
_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
_METADATA_ONLY: Final = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a LIST. `last` says that the LIST is complete with it."""

    items: list[Object]
    resource_version: str
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A complete LIST: what it does not show was absent at `resource_version`."""

    items: list[Object]
    resource_version: str


class Kube:
    """Requests to one API server. `guard` runs before each write and raises LeaseLost where this
    process may no longer act. Every method raises KubeError's kinds and nothing else."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        guard: Callable[[], None] = lambda: None,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = ApiClient(configuration)
        self._client.user_agent = FIELD_MANAGER
        self._guard = guard

    async def close(self) -> None:
        await self._client.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """The object as the API server has it now (a quorum read)."""
        return await self._request("GET", kind.path(namespace, name))

    async def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """As `get`, but None where it is absent."""
        try:
            return await self.get(kind, namespace, name)
        except NotFound:
            return None

    async def get_metadata(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """As `get`, but of the object its metadata alone: a definition is 100 times as large."""
        return await self._request("GET", kind.path(namespace, name), accept=_METADATA_ONLY)

    async def list_pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        limit: int = PAGE_LIMIT,
    ) -> AsyncIterator[Page]:
        """Pages of one consistent LIST; only after the `last` one may absence be concluded.

        Raises Gone where the server forgot the LIST half way.
        """
        query: dict[str, Any] = {"limit": limit}
        if labels:
            query["labelSelector"] = labels
        while True:
            answer = await self._request("GET", kind.path(namespace), query=query)
            metadata = answer.get("metadata", {})
            token = metadata.get("continue", "")
            yield Page(
                items=answer.get("items") or [],
                resource_version=metadata.get("resourceVersion", ""),
                last=not token,
            )
            if not token:
                return
            query["continue"] = token

    async def list_all(
        self, kind: Kind, namespace: str | None = None, *, labels: str = ""
    ) -> Listing:
        """A complete LIST or an error, never a part."""
        for attempt in range(_LIST_ATTEMPTS):
            items: list[Object] = []
            version = ""
            try:
                async for page in self.list_pages(kind, namespace, labels=labels):
                    items += page.items
                    version = page.resource_version
                return Listing(items=items, resource_version=version)
            except Gone:
                if attempt == _LIST_ATTEMPTS - 1:
                    raise
        raise Gone(f"LIST {kind.path(namespace)} never came to its end")

    async def served(self, kind: Kind) -> bool:
        """Whether the API server knows this kind (PodMonitor, PrometheusRule, our own CRDs)."""
        try:
            answer = await self._request("GET", f"/apis/{kind.group}/{kind.version}")
        except NotFound:
            return False
        return any(item.get("name") == kind.plural for item in answer.get("resources") or [])

    async def apply(
        self, obj: Object, *, manager: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """Server-side apply of `obj` (apiVersion, kind, name); returns the object as it stands.

        An apply that changes nothing leaves the resourceVersion as it was.
        """
        metadata = obj["metadata"]
        return await self._request(
            "PATCH",
            kind_of(obj).path(metadata.get("namespace"), metadata["name"]),
            query={"fieldManager": manager, "force": str(force).lower()},
            body=obj,
            content_type=_APPLY,
        )

    async def patch_status(
        self, key: Key, status: Object, *, resource_version: str, manager: str = STATUS_MANAGER
    ) -> Object:
        """Server-side apply of the status subresource. Conflict unless `resource_version` is the
        current one: a status must not land on a namesake that came after, and of the UID the
        server takes no notice here."""
        obj = {
            "apiVersion": key.kind.api_version,
            "kind": key.kind.name,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "resourceVersion": resource_version,
            },
            "status": status,
        }
        return await self._request(
            "PATCH",
            key.kind.path(key.namespace, key.name, "status"),
            query={"fieldManager": manager, "force": "true"},
            body=obj,
            content_type=_APPLY,
        )

    async def create(self, obj: Object) -> Object:
        """POST; raises AlreadyExists."""
        path = kind_of(obj).path(obj["metadata"].get("namespace"))
        return await self._request("POST", path, body=obj)

    async def replace(self, obj: Object) -> Object:
        """PUT; raises Conflict unless metadata.resourceVersion is the current one."""
        metadata = obj["metadata"]
        path = kind_of(obj).path(metadata.get("namespace"), metadata["name"])
        return await self._request("PUT", path, body=obj)

    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Object
    ) -> Object:
        """RFC 7396. A metadata.resourceVersion in the patch guards it (Conflict)."""
        path = kind.path(namespace, name)
        return await self._request("PATCH", path, body=patch, content_type=_MERGE_PATCH)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete just this object; False where it is already gone. Conflict where the one that
        stands there has another uid or resourceVersion."""
        preconditions = {
            name: value
            for name, value in (("uid", uid), ("resourceVersion", resource_version))
            if value is not None
        }
        body: Object = {"propagationPolicy": propagation}
        if preconditions:
            body["preconditions"] = preconditions
        try:
            await self._request("DELETE", kind.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

    async def create_event(self, event: Object) -> None:
        """An events.k8s.io/v1 Event. The one thing whose loss nobody minds: see `events`."""
        await self._request("POST", EVENT.path(event["metadata"]["namespace"]), body=event)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Object | None = None,
        body: Any = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Object:
        if method != "GET":
            self._guard()
        what = f"{method} {path}"
        try:
            url_parts = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(
                *url_parts,
                _request_timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            )
            status, data = response.status, await response.read()
        except TimeoutError:
            raise Unreachable(
                f"{what}: the API server did not answer within {self._timeout_seconds:g} s"
            ) from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as failed:
            raise Unreachable(f"{what}: the API server could not be reached: {failed}") from failed
        try:
            answer = json.loads(data)
        except ValueError:
            answer = {"message": data[:200].decode(errors="replace")}
        if 200 <= status < 300:
            return dict(answer)
        raise _translated(what, status, answer)


def _translated(what: str, status: int, answer: Any) -> KubeError:
    """The error for a metav1.Status."""
    answer = answer if isinstance(answer, dict) else {}
    message = str(answer.get("message") or f"HTTP status {status}")
    reason = str(answer.get("reason") or "")
    text = f"{what}: {message}"
    if status == 404:
        return NotFound(text)
    if status == 409:
        return AlreadyExists(text) if reason == "AlreadyExists" else Conflict(text)
    if status == 410:
        return Gone(text)
    if status == 429 or status >= 500:
        return Unreachable(f"{what}: HTTP status {status}: {message}")
    details = answer.get("details") or {}
    causes = tuple(str(cause.get("reason", "")) for cause in details.get("causes") or [])
    return Refused(text, message=message, reason=reason, causes=causes)
