"""crds/ from the models: `python -m headrace_operator.crd.render --write` or `--check`."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from headrace_operator.crd.definition import KINDS, definition
from headrace_operator.crd.protection import policies

_FOLDER: Final = Path("crds")
_INTRO: Final = "# Made from operator/headrace_operator/crd/ by `make gen`; do not edit.\n"


def render() -> dict[str, str]:
    """File name in crds/ to content."""
    files = {f"{kind.plural}.yaml": _text([definition(kind)]) for kind in KINDS}
    return {**files, "protection.yaml": _text(policies())}


def main(arguments: Sequence[str]) -> int:
    """0 where the files are in step or were written, 1 where one differs, 2 for bad arguments."""
    match list(arguments):
        case ["--write"]:
            _FOLDER.mkdir(exist_ok=True)
            for name, text in render().items():
                (_FOLDER / name).write_text(text, encoding="utf-8")
            return 0
        case ["--check"]:
            found = {path.name: path.read_text(encoding="utf-8") for path in _FOLDER.glob("*.yaml")}
            different = sorted(name for name, _text in found.items() ^ render().items())
            for name in dict.fromkeys(different):
                print(
                    f"crds/{name} is not in step with the models: run `make gen`.", file=sys.stderr
                )
            return 1 if different else 0
    print("usage: python -m headrace_operator.crd.render --check|--write", file=sys.stderr)
    return 2


def _text(objects: Iterable[Mapping[str, Any]]) -> str:
    """By way of JSON: YAML would write an object that stands twice as an anchor and an alias."""
    plain = (json.loads(json.dumps(one)) for one in objects)
    return _INTRO + "---\n".join(yaml.safe_dump(one, sort_keys=False, width=100) for one in plain)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
