"""Which address counts: flag, environment, profile, default."""

from pathlib import Path

import pytest
from headrace.cli.fault import Failure
from headrace.cli.profiles import addresses

PROFILES = """
default = "local"
[local]
bootstrap = "127.0.0.1:1111"
[far]
bootstrap = "far:2222,farther"
[typo]
bootstraps = "x"
[empty]
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "headrace"
    folder.mkdir()
    (folder / "profiles.toml").write_text(PROFILES)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def chosen(flag: str | None, profile: str | None, environment: dict[str, str]) -> str:
    return ",".join(map(str, addresses(flag, profile, environment)))


def test_each_source_gives_way_to_the_one_above_it(home: dict[str, str]) -> None:
    by_name = home | {"HEADRACE_PROFILE": "far"}
    by_address = by_name | {"HEADRACE_BOOTSTRAP": "env:3333"}
    assert chosen(None, None, {"XDG_CONFIG_HOME": "/nonexistent"}) == "127.0.0.1:9092"
    assert chosen(None, None, home) == "127.0.0.1:1111"
    assert chosen(None, None, by_name) == "far:2222,farther:9092"
    assert chosen(None, None, by_address) == "env:3333"
    assert chosen(None, "local", by_address) == "127.0.0.1:1111"
    assert chosen("flag:4444", "local", by_address) == "flag:4444"


def test_home_is_where_profiles_are_without_xdg(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "headrace"
    folder.mkdir(parents=True)
    (folder / "profiles.toml").write_text(PROFILES)
    assert chosen(None, "far", {"HOME": str(tmp_path)}) == "far:2222,farther:9092"


def test_a_default_that_is_a_section_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "headrace").mkdir()
    (tmp_path / "headrace" / "profiles.toml").write_text('[default]\nbootstrap = "x:1"\n')
    with pytest.raises(Failure, match=r"`default` names the profile to use.*\[NAME\]"):
        chosen(None, None, {"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("profile", "part"),
    [
        ("nope", "has: empty, far, local, typo"),
        ("typo", "unknown key 'bootstraps'"),
        ("empty", "needs bootstrap"),
    ],
)
def test_a_bad_profile_is_named(home: dict[str, str], profile: str, part: str) -> None:
    with pytest.raises(Failure, match=r"profiles\.toml") as failure:
        addresses(None, profile, home)
    assert part in str(failure.value)


def test_a_bad_address_is_told_with_its_source(home: dict[str, str]) -> None:
    with pytest.raises(Failure, match=r"\$HEADRACE_BOOTSTRAP: 'x' in 'a:x' is not a port"):
        addresses(None, None, home | {"HEADRACE_BOOTSTRAP": "a:x"})


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "headrace").mkdir()
    (tmp_path / "headrace" / "profiles.toml").write_text("[far")
    with pytest.raises(Failure, match=r"profiles\.toml is not TOML"):
        addresses(None, None, {"XDG_CONFIG_HOME": str(tmp_path)})
