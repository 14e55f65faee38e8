"""Which cluster a command talks to: flag, then environment, then profile, then this machine.

A profile is a table in profiles.toml; `default` names the one that is used when none is asked for:

    default = "local"

    [local]
    bootstrap = "127.0.0.1:9092"
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headrace.cli.fault import Misused
from headrace.client.address import Address, parse_addresses

DEFAULT: Final = "127.0.0.1:9092"
_KEYS: Final = {"bootstrap"}

_FORM: Final = """a profile is [NAME] and a line bootstrap = "HOST:PORT" under it"""


def addresses(
    bootstrap: str | None, profile: str | None, environment: Mapping[str, str]
) -> tuple[Address, ...]:
    """The addresses to try. Raises Misused with a sentence that names where a bad one stands."""
    text, source = _chosen(bootstrap, profile, environment)
    try:
        return parse_addresses(text)
    except ValueError as error:
        raise Misused(f"{source}: {error}") from None


def _chosen(
    bootstrap: str | None, profile: str | None, environment: Mapping[str, str]
) -> tuple[str, str]:
    """(addresses, where they come from). A flag of either kind beats the environment."""
    if bootstrap:
        return bootstrap, "--bootstrap"
    if profile:
        return _from_profile(profile, "--profile", environment)
    if text := environment.get("HEADRACE_BOOTSTRAP"):
        return text, "$HEADRACE_BOOTSTRAP"
    if name := environment.get("HEADRACE_PROFILE"):
        return _from_profile(name, "$HEADRACE_PROFILE", environment)
    path = profiles_path(environment)
    if path.exists() and (name := _read(path).get("default")):
        if not isinstance(name, str):
            raise Misused(f"{path}: `default` names the profile to use and is none itself; {_FORM}")
        return _from_profile(name, f"default in {path}", environment)
    return DEFAULT, "the default address"


def profiles_path(environment: Mapping[str, str]) -> Path:
    """Where the profiles are kept."""
    folder = environment.get("XDG_CONFIG_HOME")
    base = Path(folder) if folder else Path(environment.get("HOME", "~")).expanduser() / ".config"
    return base / "headrace" / "profiles.toml"


def _from_profile(name: str, source: str, environment: Mapping[str, str]) -> tuple[str, str]:
    path = profiles_path(environment)
    if not path.exists():
        raise Misused(f"{source} names the profile {name!r}, but there is no {path}: {_FORM}")
    profiles = {key: value for key, value in _read(path).items() if isinstance(value, dict)}
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise Misused(f"{source} names the profile {name!r}, and {path} has: {known}")
    if odd := sorted(set(profiles[name]) - _KEYS):
        raise Misused(f"{path}: profile {name!r} has an unknown key {odd[0]!r}; known: bootstrap")
    bootstrap = profiles[name].get("bootstrap")
    if not isinstance(bootstrap, str):
        raise Misused(f'{path}: profile {name!r} needs bootstrap = "HOST:PORT"')
    return bootstrap, f"{path}, profile {name!r}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misused(f"{path} is not TOML: {error}") from None


def from_environment(bootstrap: str | None, profile: str | None) -> tuple[Address, ...]:
    """`addresses` with the process's environment."""
    return addresses(bootstrap, profile, os.environ)
