"""Feature levels: what may be finalized."""

import pytest
from headrace.core.features import SAFE_DOWNGRADE, UPGRADE, FeatureUpdate, refuse

OURS = "headrace.format"


@pytest.mark.parametrize(
    ("current", "name", "level", "kind", "taken"),
    [
        ({}, OURS, 1, UPGRADE, True),
        ({}, OURS, 2, UPGRADE, False),
        ({}, OURS, 1, SAFE_DOWNGRADE, False),
        ({}, OURS, 1, 9, False),
        ({}, OURS, 0, UPGRADE, False),
        ({}, OURS, -1, SAFE_DOWNGRADE, False),
        ({}, "group.version", 1, UPGRADE, False),
        ({OURS: 1}, OURS, 1, UPGRADE, True),
        ({OURS: 1}, OURS, 0, UPGRADE, False),
        ({OURS: 1}, OURS, 0, SAFE_DOWNGRADE, True),
    ],
)
def test_updates(current: dict[str, int], name: str, level: int, kind: int, taken: bool) -> None:
    update = FeatureUpdate(name=name, level=level, upgrade_type=kind)
    assert (refuse(current, update) is None) == taken
