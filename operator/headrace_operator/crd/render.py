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
_CHART: Final = Path("charts/headrace/files/crds")
_KEEP: Final = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n"
"""In the chart: uninstalling it must not take every Cluster with it."""
_INTRO: Final = "# Made from operator/headrace_operator/crd/ by `make gen`; do not edit.\n"


def render() -> dict[str, str]:
    """Path to content: crds/, and the chart's copy of it."""
    files = {f"{kind.plural}.yaml": _text([definition(kind)]) for kind in KINDS}
    files["protection.yaml"] = _text(policies())
    plain = {str(_FOLDER / name): text for name, text in files.items()}
    kept = {str(_CHART / name): _kept(text) for name, text in files.items()}
    return {**plain, **kept}


def _kept(text: str) -> str:
    return text.replace("\nmetadata:\n", f"\n{_KEEP}")


def main(arguments: Sequence[str]) -> int:
    """0 where the files are in step or were written, 1 where one differs, 2 for bad arguments."""
    match list(arguments):
        case ["--write"]:
            for name, text in render().items():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_text(text, encoding="utf-8")
            return 0
        case ["--check"]:
            found = {
                str(path): path.read_text(encoding="utf-8")
                for folder in (_FOLDER, _CHART)
                for path in folder.glob("*.yaml")
            }
            different = sorted(name for name, _text in found.items() ^ render().items())
            for name in dict.fromkeys(different):
                print(f"{name} is not in step with the models: run `make gen`.", file=sys.stderr)
            return 1 if different else 0
    print("usage: python -m headrace_operator.crd.render --check|--write", file=sys.stderr)
    return 2


def _text(objects: Iterable[Mapping[str, Any]]) -> str:
    """By way of JSON: YAML would write an object that stands twice as an anchor and an alias."""
    plain = (json.loads(json.dumps(one)) for one in objects)
    return _INTRO + "---\n".join(yaml.safe_dump(one, sort_keys=False, width=100) for one in plain)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
