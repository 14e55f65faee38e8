"""Variables of the environment in a broker's settings file."""

from pathlib import Path

import pytest
from headrace.cli.fault import Misused
from headrace.cli.settings_file import settings_of


def read(folder: Path, text: str) -> dict[str, str]:
    file = folder / "broker.properties"
    file.write_text(text)
    return settings_of(file, (), {}, {})


def test_a_variable_stands_in_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_IP", "192.0.2.7")
    advertised = "advertised.listeners=OUT://${env:HOST_IP}:30001,IN://a:9092\n"
    found = read(tmp_path, "listeners=IN://:9092,OUT://:9094\n" + advertised)
    assert found["advertised.listeners"] == "OUT://192.0.2.7:30001,IN://a:9092"


def test_the_first_that_is_not_empty_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZONE", "")
    monkeypatch.setenv("NODE_NAME", "n1")
    assert read(tmp_path, "broker.rack=${env:ZONE,NODE_NAME}\n")["broker.rack"] == "n1"
    monkeypatch.setenv("ZONE", "z1")
    assert read(tmp_path, "broker.rack=${env:ZONE,NODE_NAME}\n")["broker.rack"] == "z1"


def test_a_variable_that_is_not_set_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOST_IP", raising=False)
    with pytest.raises(Misused) as refused:
        read(tmp_path, "node.id=1\nbroker.rack=${env:HOST_IP}\n")
    assert "broker.properties, line 2: ${env:HOST_IP} has no value" in str(refused.value)
