"""No rule ends in an error of its own, whatever part of an object is there or not.

From an object that has everything each part is left out in turn: on creation, by an update, and
back by another. Whether the API server takes or refuses it, no cause may be a rule that could not
be evaluated ("no such key", a quantity that is none, a cost that was too high).
"""

from collections.abc import Iterator
from typing import Any, Final

from e2e.kubernetes.cel.run import GROUP, NAMESPACE, Wrong, said, taken
from e2e.kubernetes.cel.table import Object
from e2e.rig.api import Api

_FAULTS: Final = ("evaluating rule", "for rule:", "cost", "messageExpression")
"""In what apiextensions-apiserver says of a rule that has no verdict (schema/cel/validation.go)."""

_STORAGE: Final = {"size": "10Gi", "className": "fast"}
_AMOUNTS: Final = {"requests": {"cpu": 1}, "limits": {"cpu": "2"}}
_META: Final = {"clusterRef": {"name": "c", "namespace": "n"}}
_FULL: Final[dict[str, tuple[str, Object, Object]]] = {
    "clusters": (
        "Cluster",
        {
            "version": "0.1.0",
            "image": "i",
            "pools": [
                {
                    "name": name,
                    "replicas": 2,
                    "zones": ["x", "y"],
                    "storage": _STORAGE,
                    "resources": _AMOUNTS,
                    "podTemplate": {"metadata": {"labels": {"l": "v"}}, "spec": {"any": 1}},
                    "remove": [1],
                }
                for name in ("a", "b")
            ],
            "config": {"min.insync.replicas": "2", "default.replication.factor": "2"},
            "listeners": [
                {"name": "internal", "type": "Internal", "port": 9092},
                {
                    "name": "x",
                    "type": "NodePort",
                    "port": 9093,
                    "hostTemplate": "b{id}",
                    "nodePort": 30000,
                    "annotations": {"a": "b"},
                },
            ],
            "etcd": {
                "managed": {
                    "members": 1,
                    "storage": _STORAGE,
                    "image": "i",
                    "resources": _AMOUNTS,
                }
            },
            "access": {"namespaces": ["n"]},
            "monitoring": {"podMonitor": True, "prometheusRule": True, "labels": {"l": "v"}},
            "suspend": True,
            "deletionProtection": False,
            "reclaimPolicy": "Delete",
        },
        {
            "observedGeneration": 1,
            "pools": [
                {"name": name, "storageSize": "10Gi", "storageClassName": "fast"}
                for name in ("a", "b", "gone")
            ],
            "etcd": {"members": 1, "readyMembers": 1, "storageSize": "10Gi"},
        },
    ),
    "topics": (
        "Topic",
        {
            **_META,
            "topicName": "t",
            "partitions": 3,
            "config": {"a": "b"},
            "deletionPolicy": "Delete",
            "driftPolicy": "Report",
            "adoption": "Never",
        },
        {"observedGeneration": 1, "topicName": "t"},
    ),
    "quotas": (
        "Quota",
        {
            **_META,
            "entity": {
                "user": {"name": "u", "default": True},
                "clientId": {"name": "c", "default": True},
                "ip": {"name": "::1", "default": True},
            },
            "limits": {
                "producerByteRate": "1Mi",
                "consumerByteRate": 1,
                "requestPercentage": 1,
                "controllerMutationRate": 1,
                "connectionCreationRate": 1,
            },
        },
        {"observedGeneration": 1, "effective": {"producerByteRate": 1}},
    ),
}
_ODD: Final = ("", "1e999", -1, "99999999999999999999")
"""For each scalar: what is no quantity, no number, or too large for one."""


def sweep(api: Api) -> Iterator[tuple[str, str | None]]:
    """What was left out or put in, and the fault that a rule showed, or None."""
    for plural, (kind, spec, status) in _FULL.items():
        whole = {"spec": spec, "status": status}
        for words, changed in _variants(whole):
            try:
                _try(api, plural, kind, whole, changed)
            except Wrong as wrong:
                yield f"{kind} {words}", str(wrong)
            else:
                yield f"{kind} {words}", None


def _variants(whole: Object) -> Iterator[tuple[str, Object]]:
    for path in _paths(whole):
        yield f"without {_written(path)}", _with(whole, path, None)
        if not isinstance(_at(whole, path), dict | list):
            for odd in _ODD:
                yield f"with {_written(path)} = {odd!r}", _with(whole, path, odd)


def _try(api: Api, plural: str, kind: str, whole: Object, changed: Object) -> None:
    """Creation of each, an update to the other, and the other's status beside it."""
    collection = f"{GROUP}/namespaces/{NAMESPACE}/{plural}"
    head = {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": f"s-{plural}"},
    }
    path = f"{collection}/s-{plural}"
    for first, second in ((whole, changed), (changed, whole)):
        code, answer = api.request("POST", collection, {**head, **first})
        _check(answer)
        if code >= 400:
            continue
        try:
            stored = _put(api, f"{path}/status", answer, status=first.get("status"))
            stored = _put(api, path, stored, spec=second.get("spec"))
            _put(api, f"{path}/status", stored, status=second.get("status"))
        finally:
            taken(api, "DELETE", path)


def _put(api: Api, path: str, stored: Object, **part: Any) -> Object:
    """What is stored after a request that may be taken or refused."""
    body = {name: value for name, value in {**stored, **part}.items() if value is not None}
    code, answer = api.request("PUT", path, body)
    _check(answer)
    return stored if code >= 400 else answer


def _check(answer: Any) -> None:
    if isinstance(answer, dict) and answer.get("kind") == "Status":
        text = said(answer)
        if any(fault in text for fault in _FAULTS):
            raise Wrong(text)


def _paths(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value[:1]))  # the others are alike
    for name, part in parts:
        yield (*before, name)
        yield from _paths(part, (*before, name))


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def _with(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with the part at `path` replaced, or without it where `new` is None."""
    name, rest = path[0], path[1:]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[name] = _with(copy[name], rest, new)
    elif new is None:
        del copy[name]
    else:
        copy[name] = new
    return copy


def _written(path: tuple[str | int, ...]) -> str:
    return ".".join(str(name) for name in path)
