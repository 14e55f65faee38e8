"""The command line: what it takes, what it refuses, and with which words."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from headrace_operator.main import main


@pytest.mark.parametrize("arguments", [[], ["--all", "--namespace", "a"]])
def test_release_finalizers_wants_to_know_where(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, ["release-finalizers", *arguments])
    assert done.exit_code == 2
    assert "--namespace NAME (may be repeated), or --all" in done.output


def test_a_kubeconfig_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("apiVersion: v1\nkind: Config\n")
    done = CliRunner().invoke(main, ["release-finalizers", "--all", "--kubeconfig", str(file)])
    assert done.exit_code == 1
    assert "no access to a Kubernetes API server" in done.output


def test_an_api_server_that_is_away_is_said(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
    )
    done = CliRunner().invoke(main, ["release-finalizers", "--all", "--kubeconfig", str(file)])
    assert done.exit_code == 1
    assert "could not be reached" in done.output


def test_run_names_its_variables() -> None:
    done = CliRunner().invoke(main, ["run", "--help"])
    assert done.exit_code == 0
    for variable in ("HEADRACE_NAMESPACES", "POD_NAMESPACE", "HEADRACE_BROKER_IMAGE"):
        assert variable in done.output


def test_bad_values_are_refused() -> None:
    for arguments in (["--workers", "0"], ["--sweep-seconds", "1"], ["--log-level", "LOUD"]):
        done = CliRunner().invoke(main, ["run", *arguments])
        assert done.exit_code == 2, done.output
