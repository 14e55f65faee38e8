"""The examples that the README applies are Clusters, Topics and Quotas with no unknown field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_operator.crd.definition import KINDS, Kind

EXAMPLES = Path(__file__).parents[4] / "examples"


def holds(part: Any, whole: Any) -> bool:
    """Whether all that `part` says is in `whole`: what is unknown was dropped."""
    if isinstance(part, dict):
        return all(name in whole and holds(value, whole[name]) for name, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(holds, part, whole))
    return str(part) == str(whole)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_example_is_read_whole(kind: Kind) -> None:
    example = yaml.safe_load((EXAMPLES / f"{kind.kind.lower()}.yaml").read_text())
    read = kind.model.model_validate(example).document()
    assert example["kind"] == kind.kind
    assert holds(example, read)
