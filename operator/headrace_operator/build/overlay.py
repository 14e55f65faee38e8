"""A pool's pod template laid over the operator's pod, as `kubectl patch` merges (strategic merge).

Maps merge by key and null takes a key away; lists whose items have a merge key merge item by item;
other lists are replaced; `$patch: delete` and `$patch: replace` work on maps and items. What makes
a pod this broker's pod cannot be laid over. Source of the merge keys: the patchMergeKey tags of
Kubernetes' core/v1 types.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from headrace_operator.build.problem import CannotBuild
from headrace_operator.crd.pools import PodTemplate
from headrace_operator.kinds import Object

_MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
_POD_IDENTITY: Final = (
    "hostname",
    "subdomain",
    "nodeName",
    "restartPolicy",
    "hostNetwork",
    "ephemeralContainers",
    "automountServiceAccountToken",
    "serviceAccountName",
    "serviceAccount",
)
_CONTAINER_IDENTITY: Final = ("image", "command", "args", "stdin", "tty")
_DIRECTIVE: Final = "$patch"


def lay_over(template: Object, overlay: PodTemplate, *, container: str, where: str) -> Object:
    """The template with the overlay on it. Raises CannotBuild where it touches what may not be.

    `container` is the operator's own container; `where` names the overlay for messages.
    """
    _refuse_identity(template, overlay.spec, container=container, where=where)
    metadata = template["metadata"]
    return {
        **template,
        "metadata": {
            **metadata,
            "labels": {**overlay.metadata.labels, **metadata["labels"]},
            "annotations": {**overlay.metadata.annotations, **metadata["annotations"]},
        },
        "spec": _merged(template["spec"], overlay.spec, where=f"{where}.spec"),
    }


def _refuse_identity(
    template: Object, spec: Mapping[str, Any], *, container: str, where: str
) -> None:
    if _DIRECTIVE in spec:
        raise _refused(f"{where}.spec.{_DIRECTIVE}", "the pod stays the operator's")
    for field in _POD_IDENTITY:
        if field in spec:
            raise _refused(f"{where}.spec.{field}", "the operator sets it")
    ours = template["spec"]["containers"][0]
    for item in _items(spec, "containers", where):
        if item.get("name") == container:
            _refuse_container(ours, item, f"{where}.spec.containers[{container}]")
    kept = {volume["name"] for volume in template["spec"]["volumes"]}
    for item in _items(spec, "volumes", where):
        if item.get("name") in kept:
            raise _refused(
                f"{where}.spec.volumes[{item['name']}]", "the operator mounts it; name another"
            )


def _refuse_container(ours: Object, item: Mapping[str, Any], where: str) -> None:
    if _DIRECTIVE in item:
        raise _refused(f"{where}.{_DIRECTIVE}", "the container stays the operator's")
    for field in _CONTAINER_IDENTITY:
        if field in item:
            cure = "set spec.image instead" if field == "image" else "the operator sets it"
            raise _refused(f"{where}.{field}", cure)
    for field in ("env", "ports", "volumeMounts"):
        key = _MERGE_KEYS[field]
        kept = {entry[key] for entry in ours.get(field, ())}
        for entry in _items(item, field, where):
            if entry.get(key) in kept:
                raise _refused(f"{where}.{field}[{entry[key]}]", "the operator sets it")


def _items(parent: Mapping[str, Any], field: str, where: str) -> Sequence[Mapping[str, Any]]:
    found = parent.get(field)
    if found is None and field not in parent:
        return ()
    if not isinstance(found, list) or any(not isinstance(item, dict) for item in found):
        raise _refused(f"{where}.{field}", "it must be a list of objects")
    return found


def _refused(where: str, why: str) -> CannotBuild:
    return CannotBuild("InvalidPodTemplate", f"{where} cannot be laid over: {why}.")


def _merged(base: Any, patch: Mapping[str, Any], *, where: str) -> Any:
    if not isinstance(base, dict) or patch.get(_DIRECTIVE) == "replace":
        return _plain(patch)
    found = dict(base)
    for key, value in patch.items():
        if key == _DIRECTIVE:
            continue
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            if value.get(_DIRECTIVE) == "delete":
                found.pop(key, None)
            else:
                found[key] = _merged(found.get(key), value, where=f"{where}.{key}")
        elif isinstance(value, list) and key in _MERGE_KEYS:
            found[key] = _merged_list(found.get(key) or [], value, key, where=f"{where}.{key}")
        else:
            found[key] = deepcopy(value)
    return found


def _merged_list(base: Sequence[Any], patch: Sequence[Any], field: str, *, where: str) -> list[Any]:
    key = _MERGE_KEYS[field]
    if any(not isinstance(item, dict) for item in patch):
        raise _refused(where, "it must be a list of objects")
    found = list(base)
    for item in patch:
        if key not in item:
            raise _refused(where, f"an item has no {key}")
        at = next((i for i, old in enumerate(found) if old.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            if at is not None:
                del found[at]
        elif at is None:
            found.append(_plain(item))
        else:
            found[at] = _merged(found[at], item, where=f"{where}[{item[key]}]")
    return found


def _plain(value: Any) -> Any:
    """A copy without directives and nulls: there is nothing below to merge with."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != _DIRECTIVE and v is not None}
    if isinstance(value, list):
        return [
            _plain(item)
            for item in value
            if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete")
        ]
    return value
