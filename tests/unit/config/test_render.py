"""CONFIG.md: it holds every key, and a difference is found."""

from pathlib import Path

import pytest
from headrace.config.broker import BROKER_FIELDS
from headrace.config.render import main, render
from headrace.config.topic import TOPIC_KEYS


def test_every_key_stands_in_it() -> None:
    text = render()
    for key in (*BROKER_FIELDS.values(), *TOPIC_KEYS.values()):
        assert f"| `{key.name}` |" in text
        for broker in key.broker:
            assert f"`{broker.name}`" in text


def test_rows_have_six_cells() -> None:
    rows = [line for line in render().splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}


def test_check_finds_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert main(["--write"]) == 0
    assert main(["--check"]) == 0
    with open("CONFIG.md", "a") as file:
        file.write("by hand")
    assert main(["--check"]) == 1
    assert main([]) == 2
