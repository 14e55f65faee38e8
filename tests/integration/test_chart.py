"""The chart as real helm renders it, compared with what was reviewed."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools import helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "headrace"
GOLDEN = ROOT / "tests" / "golden" / "chart"
SYSTEM = ("--namespace", "headrace-system")
RENDERS: dict[str, Sequence[str]] = {
    "one-namespace": ("--namespace", "kafka", "--set", "watchNamespaces={kafka}"),
    "several-namespaces": (*SYSTEM, "--set", "watchNamespaces={kafka,team}"),
    "everything": (
        *SYSTEM,
        *("--set", "metrics.podMonitor.enabled=true", "--set", "image.pullSecrets[0].name=regcred"),
        *("--set", "brokerImage=registry.example/broker:1", "--set", "image.tag=v2"),
        *("--set", "metrics.prometheusRule.enabled=true"),
    ),
}

pytestmark = pytest.mark.skipif(helm() is None, reason="helm is missing: see tests/tools.py")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    binary = helm()
    assert binary is not None
    return subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=60)


def template(*arguments: str) -> str:
    done = run("template", "headrace", str(CHART), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def compare(text: str, golden: Path) -> None:
    """HEADRACE_GOLDEN=write takes what is rendered now as reviewed."""
    if os.environ.get("HEADRACE_GOLDEN") == "write":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), f"{golden.name}: HEADRACE_GOLDEN=write takes it as it is"


@pytest.mark.parametrize("name", RENDERS)
def test_golden(name: str) -> None:
    compare(template("--set", "crds.install=false", *RENDERS[name]), GOLDEN / f"{name}.yaml")


def test_the_plain_files_are_the_chart_without_its_hooks() -> None:
    text = template("--set", "crds.install=false", "--no-hooks", *SYSTEM)
    plain = re.sub(r"managed-by: Helm", "managed-by: kubectl", text)
    compare(plain, ROOT / "deploy" / "operator.yaml")


def test_the_kustomization_names_every_plain_file() -> None:
    [kustomization] = objects((ROOT / "kustomization.yaml").read_text())
    plain = {
        f"{folder}/{p.name}" for folder in ("crds", "deploy") for p in (ROOT / folder).iterdir()
    }
    assert set(kustomization["resources"]) == plain


def test_lint() -> None:
    done = run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_definitions_are_those_of_the_models_and_stay() -> None:
    files = ("clusters.yaml", "topics.yaml", "quotas.yaml", "protection.yaml")
    plain = [o for name in files for o in objects((ROOT / "crds" / name).read_text())]
    chart = {
        (o["kind"], o["metadata"]["name"]): o
        for o in objects(template(*SYSTEM))
        if o["kind"] == "CustomResourceDefinition" or o["kind"].startswith("ValidatingAdmission")
    }
    assert len(chart) == len(plain) == 9
    for wanted in plain:
        found = chart[wanted["kind"], wanted["metadata"]["name"]]
        assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert found == wanted


def test_named_namespaces_take_no_cluster_wide_right() -> None:
    for name in ("one-namespace", "several-namespaces"):
        kinds = {
            o["kind"] for o in objects(template("--set", "crds.install=false", *RENDERS[name]))
        }
        assert "Role" in kinds and not kinds & {"ClusterRole", "ClusterRoleBinding"}


def test_every_pod_is_restricted() -> None:
    for o in objects(template(*SYSTEM)):
        if o["kind"] not in ("Deployment", "Job", "Pod"):
            continue
        spec = o["spec"] if o["kind"] == "Pod" else o["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("replicas=0", "replicas"),
        ("watchNamespaces={Kafka}", "watchNamespaces"),
        ("crds.instal=true", "instal"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(wrong: str, told: str) -> None:
    done = run("template", "headrace", str(CHART), "--set", wrong)
    assert done.returncode != 0 and told in done.stderr


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}


def test_the_gitops_example_is_in_step() -> None:
    gitops = ROOT / "examples" / "gitops"
    for name in ("cluster.yaml", "topic.yaml", "quota.yaml"):
        assert (gitops / "apps" / name).read_text() == (ROOT / "examples" / name).read_text()
    script = (gitops / "argocd" / "health.lua").read_text()
    [config] = objects((gitops / "argocd" / "argocd-cm.yaml").read_text())
    assert {key.rpartition("_")[2] for key in config["data"]} == {"Cluster", "Topic", "Quota"}
    assert set(config["data"].values()) == {script}
