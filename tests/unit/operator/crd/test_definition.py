"""The definitions that the API server gets: structural, bounded, small, and in step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_operator.crd.definition import KINDS, Kind, definition
from headrace_operator.crd.protection import NAMED_MAX, protected_clusters
from headrace_operator.crd.render import main, render

BYTES_MAX = 200_000  # client-side apply keeps the object in an annotation of at most 262,144
Place = tuple[str, dict[str, Any]]


def schema_of(kind: Kind) -> dict[str, Any]:
    version = definition(kind)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def places(schema: dict[str, Any], path: str = "") -> Iterator[Place]:
    yield path, schema
    for name, one in schema.get("properties", {}).items():
        yield from places(one, f"{path}.{name}")
    for part, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if part in schema:
            yield from places(schema[part], path + mark)


def api_servers_own(path: str) -> bool:
    return path in (".apiVersion", ".kind", ".metadata")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def schema(request: pytest.FixtureRequest) -> dict[str, Any]:
    return schema_of(request.param)


def test_every_place_has_one_type_and_says_what_it_is_for(schema: dict[str, Any]) -> None:
    for path, one in places(schema):
        assert ("type" in one) != ("x-kubernetes-int-or-string" in one), path
        assert not {"$ref", "$defs", "title", "const", "allOf"} & set(one), path
        field = path and not path.endswith(("[]", "{}")) and not api_servers_own(path)
        assert not field or one.get("description") or ".podTemplate.spec." in path, path


def test_every_string_list_and_map_is_bounded(schema: dict[str, Any]) -> None:
    for path, one in places(schema):
        if api_servers_own(path):
            continue
        text = one.get("type") == "string" or "x-kubernetes-int-or-string" in one
        assert not text or {"maxLength", "enum", "format"} & set(one), path
        assert one.get("type") != "array" or "maxItems" in one, path
        open_map = "additionalProperties" in one or "x-kubernetes-preserve-unknown-fields" in one
        assert not open_map or "maxProperties" in one, path


def test_every_list_says_how_it_merges(schema: dict[str, Any]) -> None:
    lists = [(path, one) for path, one in places(schema) if one.get("type") == "array"]
    assert lists
    assert not [path for path, one in lists if "x-kubernetes-list-type" not in one]


def test_a_fresh_object_is_not_taken_for_ready(schema: dict[str, Any]) -> None:
    status = schema["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    conditions = status["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert "observedGeneration" in conditions["items"]["required"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_names_and_columns(kind: Kind) -> None:
    spec = definition(kind)["spec"]
    assert spec["names"]["shortNames"] == [
        {"Cluster": "kcl", "Topic": "ktp", "Quota": "kq"}[kind.kind]
    ]
    assert spec["names"]["categories"] == ["headrace"]
    assert spec["versions"][0]["subresources"] == {"status": {}}
    columns = [column["name"] for column in spec["versions"][0]["additionalPrinterColumns"]]
    assert "Ready" in columns and columns[-1] == "Age"


def test_numbers_have_their_bounds_in_the_form_of_openapi() -> None:
    limits = schema_of(KINDS[2])["properties"]["spec"]["properties"]["limits"]["properties"]
    percentage = limits["requestPercentage"]
    assert (percentage["minimum"], percentage["exclusiveMinimum"]) == (0, True)


def test_files_are_small_and_read_as_what_was_rendered() -> None:
    files = {name.removeprefix("crds/"): text for name, text in render().items()}
    chart = {name for name in files if name.startswith("charts/headrace/files/")}
    for name in chart:
        uninstalled = files.pop(name)
        assert uninstalled.count("helm.sh/resource-policy: keep") == uninstalled.count("\nkind:")
    assert len(chart) == 4
    assert set(files) == {"clusters.yaml", "topics.yaml", "quotas.yaml", "protection.yaml"}
    for kind in KINDS:
        text = files[f"{kind.plural}.yaml"]
        assert len(text.encode()) < BYTES_MAX
        assert yaml.safe_load(text) == definition(kind)
        assert "&id" not in text


def test_check_names_the_file_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert main(["--write"]) == 0
    assert main(["--check"]) == 0
    topics = tmp_path / "crds" / "topics.yaml"
    topics.write_text(topics.read_text() + "# mine\n")
    (tmp_path / "crds" / "stray.yaml").write_text("")
    capsys.readouterr()
    assert main(["--check"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == ["crds/stray.yaml", "crds/topics.yaml"]
    assert main([]) == 2


def test_the_annotation_names_protected_clusters_in_order_and_not_without_end() -> None:
    assert protected_clusters([]) is None
    assert protected_clusters([("b", "x"), ("a", "y")]) == "a/y, b/x"
    many = protected_clusters(("n", f"c{number:03}") for number in range(NAMED_MAX + 3))
    assert many is not None and many.endswith("n/c019, and 3 more")
