"""The version of this release; a test holds it equal to pyproject.toml's."""

from typing import Final

VERSION: Final = "0.1.0"
