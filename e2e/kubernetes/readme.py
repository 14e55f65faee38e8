"""The commands of README's part "On Kubernetes", so that the run types what a new user types."""

import re

from e2e.rig.paths import ROOT

HEADING = "## On Kubernetes"


def blocks() -> list[list[str]]:
    """Its console blocks in order, each a list of commands without the prompt.

    Raises ValueError where there is no such part, or a line of a block is neither a command nor
    the continuation of one.
    """
    part = re.search(rf"^{HEADING}[^\n]*\n(.*?)(?=^## |\Z)", _text(), re.DOTALL | re.MULTILINE)
    if part is None:
        raise ValueError(f"README.md has no part that begins with {HEADING!r}")
    return [_commands(block) for block in re.findall(r"```console\n(.*?)```", part[1], re.DOTALL)]


def _commands(block: str) -> list[str]:
    found = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            raise ValueError(f"README.md: {line!r} is in a console block and is no command")
        found.append(line.removeprefix("$ "))
    return found


def _text() -> str:
    return (ROOT / "README.md").read_text()
