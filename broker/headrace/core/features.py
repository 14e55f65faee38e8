"""Feature levels (KIP-584): what this version can speak, and whether a level may be finalized.

Kafka's features are about formats this broker does not have yet (transactions, KIP-848 groups,
share groups), so none of Kafka's names stands here; a later issue adds its own with its code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace.base.errors import Code, Refusal

SUPPORTED: Final[Mapping[str, tuple[int, int]]] = {"headrace.format": (1, 1)}
"""Feature to the lowest and highest level this version speaks. headrace.format is the format of
the data folder and of the metadata's values."""

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureUpdate:
    """One update of UpdateFeatures; level 0 removes the feature."""

    name: str
    level: int
    upgrade_type: int


def refuse(current: Mapping[str, int], update: FeatureUpdate) -> Refusal | None:
    """Why `update` may not be finalized, or None. Source: KIP-584, KIP-778."""
    name, level = update.name, update.level
    if not UPGRADE <= update.upgrade_type <= UNSAFE_DOWNGRADE:
        return Refusal(
            Code.INVALID_UPDATE_VERSION, f"The upgrade type {update.upgrade_type} is unknown."
        )
    if level < 0:
        return _refusal(name, level, "A feature level is never negative")
    if level > 0 and name not in SUPPORTED:
        return _refusal(name, level, "This broker does not have the feature")
    if level == 0 and name not in current:
        return _refusal(name, level, "The feature is not finalized")
    low, high = SUPPORTED.get(name, (0, 0))
    if level > 0 and not low <= level <= high:
        return _refusal(name, level, f"This broker speaks the levels {low} to {high}")
    before = current.get(name, 0)
    if level < before and update.upgrade_type == UPGRADE:
        return _refusal(name, level, f"It stands at {before}, and a downgrade must be asked for")
    if level > before and update.upgrade_type != UPGRADE:
        return _refusal(name, level, f"It stands at {before}, which is no downgrade")
    return None


def beyond(finalized: Mapping[str, int]) -> str | None:
    """Why this version may not take part in a cluster with these levels, or None."""
    for name, level in sorted(finalized.items()):
        low, high = SUPPORTED.get(name, (0, 0))
        if level and not low <= level <= high:
            speaks = f"the levels {low} to {high} of it" if high else "nothing of it"
            return (
                f"the cluster's feature {name} is finalized at {level}, and this Headrace knows "
                f"{speaks}: start the version that knows it; nothing was changed."
            )
    return None


def _refusal(name: str, level: int, why: str) -> Refusal:
    return Refusal(
        Code.INVALID_UPDATE_VERSION, f"The feature {name} cannot be set to {level}: {why}."
    )
