"""The definitions only grow: compared with those that were committed before, and by plants."""

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_operator.crd.definition import KINDS, Kind, definition

from tests.narrowing import narrowed

ROOT = Path(__file__).parents[4]


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def committed_before(file: str, now: dict[str, Any]) -> dict[str, Any] | None:
    """The last committed definition that is another one; None where there was none."""
    for commit in git("log", "--format=%H", "-n", "20", "--", file).split():
        if not git("ls-tree", "--name-only", commit, "--", file):
            continue
        found: dict[str, Any] = yaml.safe_load(git("show", f"{commit}:{file}"))
        if found != now:
            return found
    return None


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository: nothing was before")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_nothing_is_taken_away_from_the_last_committed_definition(kind: Kind) -> None:
    now = definition(kind)
    before = committed_before(f"crds/{kind.plural}.yaml", now)
    assert before is None or not narrowed(before, now)


def root(crd: dict[str, Any]) -> Any:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def spec(crd: dict[str, Any]) -> Any:
    return root(crd)["spec"]["properties"]


def pool(crd: dict[str, Any]) -> Any:
    return spec(crd)["pools"]["items"]["properties"]


def renamed(crd: dict[str, Any]) -> None:
    spec(crd)["paused"] = spec(crd).pop("suspend")


def required(crd: dict[str, Any]) -> None:
    root(crd)["spec"]["required"].append("image")


def ruled(crd: dict[str, Any]) -> None:
    root(crd)["spec"]["x-kubernetes-validations"].append(
        {"rule": "size(self.pools) < 5", "message": "at most four pools"}
    )


def unserved(crd: dict[str, Any]) -> None:
    crd["spec"]["versions"][0]["name"] = "v1"


NARROWINGS: dict[str, Callable[[dict[str, Any]], object]] = {
    "spec: the field suspend is gone": renamed,
    "spec: the field image is required now": required,
    "spec: a new rule, 'at most four pools'": ruled,
    "version v1alpha1 is not served any more": unserved,
    "names.shortNames: kcl is gone": lambda crd: crd["spec"]["names"].update(shortNames=["hrc"]),
    "names.plural: clusters became rivers": lambda crd: crd["spec"]["names"].update(
        plural="rivers"
    ),
    "scope: Namespaced became Cluster": lambda crd: crd["spec"].update(scope="Cluster"),
    "subresource status is gone": lambda crd: crd["spec"]["versions"][0].pop("subresources"),
    "spec.pools[].replicas: maximum 1000 became 999": lambda crd: pool(crd)["replicas"].update(
        maximum=999
    ),
    "spec.pools[].replicas: minimum 0 became 1": lambda crd: pool(crd)["replicas"].update(
        minimum=1
    ),
    "spec.pools[].replicas: exclusiveMinimum is new": lambda crd: pool(crd)["replicas"].update(
        exclusiveMinimum=True
    ),
    "spec.pools[].replicas: integer became string": lambda crd: pool(crd)["replicas"].update(
        type="string"
    ),
    "spec.pools[].name: pattern ^[a-z][a-z0-9]*$ became ^[a-z]$": lambda crd: pool(crd)[
        "name"
    ].update(pattern="^[a-z]$"),
    "spec.pools: maxItems 16 became 8": lambda crd: spec(crd)["pools"].update(maxItems=8),
    "spec.pools: x-kubernetes-list-type map became atomic": lambda crd: spec(crd)["pools"].update(
        {"x-kubernetes-list-type": "atomic"}
    ),
    "spec.image: minLength 1 became 2": lambda crd: spec(crd)["image"].update(minLength=2),
    "spec.image: any other is not taken any more": lambda crd: spec(crd)["image"].update(
        enum=["a"]
    ),
    "spec.reclaimPolicy: Delete is not taken any more": lambda crd: spec(crd)[
        "reclaimPolicy"
    ].update(enum=["Retain"]),
    "spec.reclaimPolicy: the default 'Retain' became 'Delete'": lambda crd: spec(crd)[
        "reclaimPolicy"
    ].update(default="Delete"),
    "spec.config{}: maxLength 4096 became 10": lambda crd: spec(crd)["config"][
        "additionalProperties"
    ].update(maxLength=10),
    "spec.config: additionalProperties is gone": lambda crd: spec(crd)["config"].pop(
        "additionalProperties"
    ),
    "spec.pools[].podTemplate.spec: unknown fields are dropped now": lambda crd: pool(crd)[
        "podTemplate"
    ]["properties"]["spec"].pop("x-kubernetes-preserve-unknown-fields"),
    "spec.pools[].storage.size: x-kubernetes-int-or-string became string": lambda crd: pool(crd)[
        "storage"
    ]["properties"].update(size={"type": "string", "maxLength": 32}),
}


@pytest.mark.parametrize("said", NARROWINGS)
def test_a_planted_narrowing_is_named(said: str) -> None:
    before, after = definition(KINDS[0]), copy.deepcopy(definition(KINDS[0]))
    NARROWINGS[said](after)
    assert said in narrowed(before, after)


def grown(crd: dict[str, Any]) -> None:
    spec(crd)["novelty"] = {"type": "string", "maxLength": 9, "pattern": "^a$"}


def grown_with_a_rule(crd: dict[str, Any]) -> None:
    grown(crd)
    root(crd)["spec"]["x-kubernetes-validations"].append(
        {"rule": "!has(self.novelty) || self.novelty != 'x'", "message": "not x"}
    )


def required_with_a_default(crd: dict[str, Any]) -> None:
    spec(crd)["novelty"] = {"type": "string", "default": "a"}
    root(crd)["spec"]["required"].append("novelty")


WIDENINGS: list[Callable[[dict[str, Any]], object]] = [
    grown,
    grown_with_a_rule,
    required_with_a_default,
    lambda crd: pool(crd)["replicas"].update(maximum=2000),
    lambda crd: pool(crd)["replicas"].pop("minimum"),
    lambda crd: pool(crd)["name"].pop("pattern"),
    lambda crd: spec(crd)["reclaimPolicy"]["enum"].append("Recycle"),
    lambda crd: root(crd)["spec"]["required"].remove("version"),
    lambda crd: root(crd)["spec"]["x-kubernetes-validations"].clear(),
    lambda crd: crd["spec"]["names"]["shortNames"].append("hr"),
    lambda crd: spec(crd)["suspend"].update(description="other words"),
]


@pytest.mark.parametrize("change", WIDENINGS)
def test_what_only_grows_is_let_through(change: Callable[[dict[str, Any]], object]) -> None:
    before, after = definition(KINDS[0]), copy.deepcopy(definition(KINDS[0]))
    change(after)
    assert before != after
    assert narrowed(before, after) == []
