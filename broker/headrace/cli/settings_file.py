"""A broker's settings from a file and from flags, each error naming where the setting stands.

The file has Kafka's form: `key=value` lines, `#` comments, a backslash continues a line. In its
values `${env:NAME}` stands for a variable of the environment, as with Kafka's EnvVarConfigProvider
(KIP-887); `${env:FIRST,SECOND}` for the first of them that is set and not empty.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from headrace.cli.fault import Misused
from headrace.config.key import SettingError
from headrace.config.table import broker_settings, canonical


def settings_of(
    file: Path | None, sets: Iterable[str], flags: Mapping[str, str], defaults: Mapping[str, str]
) -> dict[str, str]:
    """Settings by canonical key: flags over --set over the file over `defaults`. Checked."""
    layers = [dict(defaults)]
    if file is not None:
        layers.append(_canonical(_read(file), str(file)))
    layers.append(_canonical(_parse_sets(sets), "--set"))
    layers.append(dict(flags))
    merged: dict[str, str] = {}
    for layer in layers:
        merged.update(layer)
    try:
        broker_settings(merged)
    except SettingError as error:
        raise Misused(f"{_where(error.name, file, layers)}: {error}", code="SETTING") from None
    return merged


def _canonical(pairs: list[tuple[str, str]], where: str) -> dict[str, str]:
    try:
        return canonical(pairs)
    except SettingError as error:
        raise Misused(f"{where}: {error}", code="SETTING") from None


def _parse_sets(sets: Iterable[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise Misused(f"--set {text!r} is not of the form KEY=VALUE", code="SETTING")
        pairs.append((key.strip(), value.strip()))
    return pairs


def _read(file: Path) -> list[tuple[str, str]]:
    pairs = []
    pending = ""
    try:
        lines = file.read_text().splitlines()
    except UnicodeDecodeError:
        raise Misused(f"{file} is not UTF-8 text", code="SETTING") from None
    for number, raw in enumerate(lines, 1):
        line = pending + raw.strip()
        pending = ""
        if not line or line[0] in "#!":
            continue
        if line.endswith("\\"):
            pending = line[:-1]
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise Misused(f"{file}, line {number}: {line!r} is not KEY=VALUE", code="SETTING")
        pairs.append((key.strip(), _expanded(value.strip(), f"{file}, line {number}")))
    return pairs


_VARIABLE: Final = re.compile(r"\$\{env:([^}]*)\}")


def _expanded(value: str, where: str) -> str:
    """The value with variables of the environment in place. Raises Misused for an empty one."""

    def text(found: re.Match[str]) -> str:
        for name in found[1].split(","):
            if set_to := os.environ.get(name.strip()):
                return set_to
        raise Misused(
            f"{where}: {found[0]} has no value: set {found[1]} in the environment", code="SETTING"
        )

    return _VARIABLE.sub(text, value)


def _where(name: str, file: Path | None, layers: list[dict[str, str]]) -> str:
    """Which layer a bad setting came from: the last that has it."""
    names = ["the defaults", *([str(file)] if file is not None else []), "--set", "the flags"]
    for source, layer in reversed(list(zip(names, layers, strict=True))):
        if name in layer:
            return source
    return "the settings"
