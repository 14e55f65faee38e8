"""Tries every case of the tables on a real API server."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.kubernetes.cel.table import FILES, Case, Object, cases, holds, patched
from e2e.rig.api import Api

NAMESPACE: Final = "cel"
GROUP: Final = "/apis/headrace.io/v1alpha1"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CRDS: Final = Path(__file__).parents[3] / "crds"
_ESTABLISHED_SECONDS: Final = 20.0
_UNPROCESSABLE: Final = 422
_NOTE: Final = "some validation rules were not checked because the object was invalid"
"""What the API server adds where CEL rules could not run on an object of wrong types."""
_COLLECTIONS: Final = {
    "CustomResourceDefinition": DEFINITIONS,
    "ValidatingAdmissionPolicy": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    ),
    "ValidatingAdmissionPolicyBinding": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    ),
}


class Wrong(Exception):
    """A case came out otherwise than its table says."""


def install(api: Api) -> None:
    """Creates what crds/ holds, and waits until the three kinds are served."""
    for file in sorted(_CRDS.glob("*.yaml")):
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            taken(api, "POST", _COLLECTIONS[one["kind"]], one)
    for plural in ("clusters", "topics", "quotas"):
        path = f"{GROUP}/{plural}"
        wait_for(lambda path=path: api.request("GET", path)[0] == 200, f"{path} to be served")


def wait_for(
    happened: Callable[[], bool], what: str, seconds: float = _ESTABLISHED_SECONDS
) -> None:
    """Returns once it happened; asks ten times a second. Raises Wrong when the time is over."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def run(api: Api) -> Iterator[tuple[Case, str | None]]:
    """Every case with what is wrong about it, or None."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    taken(api, "POST", "/api/v1/namespaces", namespace)
    for file in FILES:
        for case in cases(file):
            try:
                _try(api, case)
            except Wrong as wrong:
                yield case, str(wrong)
            else:
                yield case, None


def _try(api: Api, case: Case) -> None:
    collection = f"{GROUP}/namespaces/{NAMESPACE}/{case.table.removesuffix('.yaml')}"
    path = f"{collection}/{case.object['metadata']['name']}"
    if case.refused and not case.updates:
        _refused(api, "POST", f"{collection}?fieldValidation=Strict", case.object, case.refused)
        return
    current = taken(api, "POST", f"{collection}?fieldValidation=Strict", case.object)
    try:
        if case.status is not None:
            current = taken(api, "PUT", f"{path}/status", {**current, "status": case.status})
        for number, update in enumerate(case.updates, 1):
            wanted = patched(current, update)
            if case.refused and number == len(case.updates):
                _refused(api, "PUT", f"{path}?fieldValidation=Strict", wanted, case.refused)
            else:
                current = taken(api, "PUT", f"{path}?fieldValidation=Strict", wanted)
        current = taken(api, "GET", path)
        if case.stored is not None and not holds(current, case.stored):
            raise Wrong(f"the object is {current}, and does not hold {case.stored}")
    finally:
        taken(api, "DELETE", path)


def taken(api: Api, method: str, path: str, body: Object | None = None) -> Any:
    """The answer to a request that must succeed. Raises Wrong where it was refused."""
    code, answer = api.request(method, path, body)
    if code >= 400:
        raise Wrong(f"{method} {path} was refused: {said(answer)}")
    return answer


def _refused(api: Api, method: str, path: str, body: Object, wanted: frozenset[str]) -> None:
    code, answer = api.request(method, path, body)
    if code < 400:
        if method == "POST":
            taken(api, "DELETE", f"{path.partition('?')[0]}/{answer['metadata']['name']}")
        raise Wrong(f"{method} {path} was taken")
    if code != _UNPROCESSABLE or frozenset(_causes(answer)) != wanted:
        raise Wrong(f"the refusal is another one: {said(answer)}")


def _causes(answer: Any) -> list[str]:
    causes = answer.get("details", {}).get("causes", ())
    texts = [f"{one.get('field', '<nil>')}: {one['message']}" for one in causes]
    return [one for one in texts if _NOTE not in one]


def said(answer: Any) -> str:
    """What a refusal says, a cause a line."""
    if not isinstance(answer, dict):
        return str(answer)
    return "\n    ".join(["", *_causes(answer)]) if _causes(answer) else str(answer.get("message"))
