"""Settings from text: lines of a file in the style of server.properties, or --set arguments."""

from collections.abc import Iterable
from typing import Final

from headrace.config.key import SettingError
from headrace.config.table import broker_settings, canonical

_COMMENTS: Final = ("#", "!")


class ConfigError(Exception):
    """A settings file that cannot be used: the sentence names file, line, key and cure."""


def parse_properties(text: str, path: str) -> dict[str, str]:
    """Canonical keys and texts of `key=value` lines. Raises ConfigError.

    Comments begin with # or !, a line that ends in a backslash goes on in the next.
    """
    pairs = []
    for number, line in _lines(text):
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"{path}, line {number}: {line!r} is not of the form key=value.")
        pairs.append((name.strip(), value.strip()))
    return _checked(pairs, path)


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """The same of `key=value` arguments of a command line. Raises ConfigError."""
    pairs = []
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment}: write it as key=value.")
        pairs.append((name.strip(), value.strip()))
    return _checked(pairs, "--set")


def _checked(pairs: list[tuple[str, str]], where: str) -> dict[str, str]:
    try:
        values = canonical(pairs)
        broker_settings(values)
    except SettingError as error:
        raise ConfigError(f"{where}: {error}") from error
    return values


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Logical lines with the number of their first line."""
    begun, held = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not held and (not stripped or stripped.startswith(_COMMENTS)):
            continue
        begun = begun or number
        if stripped.endswith("\\"):
            held += stripped[:-1]
            continue
        yield begun, held + stripped
        begun, held = 0, ""
    if held:
        yield begun, held
