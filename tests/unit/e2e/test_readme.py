"""README's commands for Kubernetes speak of what is there."""

from pathlib import Path

import pytest
import yaml

from e2e.kubernetes import readme

ROOT = Path(__file__).parents[3]
EXAMPLES = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "examples").glob("*.yaml"))]
SHORT_NAMES = {"Cluster": "kcl", "Topic": "ktp", "Quota": "kq"}


def test_it_waits_for_every_example() -> None:
    install = readme.blocks()[0]
    assert install[0].startswith("helm install headrace charts/headrace ")
    assert install[1] == "kubectl apply -f examples/"
    waited = {word for word in install[2].split() if "/" in word}
    assert waited == {f"{SHORT_NAMES[one['kind']]}/{one['metadata']['name']}" for one in EXAMPLES}


def test_it_names_services_that_the_example_has() -> None:
    cluster = next(one for one in EXAMPLES if one["kind"] == "Cluster")
    name = cluster["metadata"]["name"]
    [internal] = [one for one in cluster["spec"]["listeners"] if one["type"] == "Internal"]
    [outside] = [one for one in cluster["spec"]["listeners"] if one["type"] == "NodePort"]
    _, pod, host = readme.blocks()[:3]
    assert all(f"{name}-bootstrap:{internal['port']}" in line for line in pod if "exec" in line)
    assert any(f"service {name}-{outside['name']}-bootstrap " in line for line in host)


def test_a_line_that_is_no_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{readme.HEADING}\n```console\n$ kubectl get kcl\ndemo Ready\n```\n"
    monkeypatch.setattr(readme, "_text", lambda: text)
    with pytest.raises(ValueError, match="demo Ready"):
        readme.blocks()
