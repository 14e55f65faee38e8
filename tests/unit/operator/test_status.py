"""Conditions as kstatus reads them, and when a status counts as written."""

from typing import Any

import pytest
from headrace_operator import status

NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 60_000


def topic(generation: int = 3, **written: Any) -> dict[str, Any]:
    return {"metadata": {"name": "t", "generation": generation}, "status": written}


def conditions(rendered: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in rendered["conditions"]}


@pytest.mark.parametrize("state", [status.READY, status.RECONCILING, status.STALLED])
def test_exactly_one_state_holds(state: str) -> None:
    says = status.kstatus(state, "Why", "Because.")
    made = conditions(status.rendered(topic(), 3, says, {}, NOW_MS))
    assert {name for name, found in made.items() if found["status"] == "True"} == {state}
    assert set(made) == {"Ready", "Reconciling", "Stalled"}
    assert all(found["observedGeneration"] == 3 for found in made.values())
    assert all(found["message"] == "Because." for found in made.values())


def test_unknown_is_a_value() -> None:
    says = [status.available(None, "NotAsked", "Nobody could be asked.")]
    [made] = status.rendered(topic(), 3, says, {}, NOW_MS)["conditions"]
    assert (made["type"], made["status"]) == ("Available", "Unknown")


def test_the_transition_time_moves_only_on_a_flip() -> None:
    ready = status.kstatus(status.READY, "Done", "It is there.")
    first = status.rendered(topic(), 3, ready, {}, NOW_MS)
    again = status.kstatus(status.READY, "StillDone", "It is still there.")
    second = conditions(status.rendered(topic(**first), 4, again, {}, LATER_MS))
    assert {c["lastTransitionTime"] for c in second.values()} == {"2027-01-15T08:00:00Z"}
    assert second["Ready"]["reason"] == "StillDone"
    stalled = status.kstatus(status.STALLED, "Stuck", "Mend it.")
    third = conditions(status.rendered(topic(**first), 4, stalled, {}, LATER_MS))
    moved = {name for name, c in third.items() if c["lastTransitionTime"] == "2027-01-15T08:01:00Z"}
    assert moved == {"Ready", "Stalled"}


def test_the_same_is_not_written_twice() -> None:
    says = status.kstatus(status.READY, "Done", "It is there.")
    made = status.rendered(topic(), 3, says, {"partitions": 3}, NOW_MS)
    current = topic(**made)
    again = status.rendered(current, 3, says, {"partitions": 3}, LATER_MS)
    assert status.is_written(current, again)
    current["status"]["conditions"].append({"type": "Foreign", "status": "True"})
    current["status"]["conditions"].reverse()
    assert status.is_written(current, again)


@pytest.mark.parametrize(
    ("generation", "fields", "message"),
    [(4, {"partitions": 3}, "Fine."), (3, {"partitions": 4}, "Fine."), (3, {"partitions": 3}, "!")],
)
def test_a_difference_is_written(generation: int, fields: dict[str, Any], message: str) -> None:
    says = status.kstatus(status.READY, "Done", "Fine.")
    current = topic(**status.rendered(topic(), 3, says, {"partitions": 3}, NOW_MS))
    says = status.kstatus(status.READY, "Done", message)
    assert not status.is_written(
        current, status.rendered(current, generation, says, fields, NOW_MS)
    )


def test_a_field_that_is_no_longer_said_is_a_difference() -> None:
    says = status.kstatus(status.READY, "Done", "Fine.")
    current = topic(**status.rendered(topic(), 3, says, {"partitions": 3}, NOW_MS))
    assert not status.is_written(current, status.rendered(current, 3, says, {}, NOW_MS))


def test_current_means_ready_for_this_generation_and_not_on_its_way_out() -> None:
    says = status.kstatus(status.READY, "Done", "Fine.")
    made = status.rendered(topic(), 3, says, {}, NOW_MS)
    assert status.is_current(topic(3, **made))
    assert not status.is_current(topic(4, **made))
    assert not status.is_current(topic())
    going = topic(3, **made)
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert not status.is_current(going)
    stalled = status.kstatus(status.STALLED, "Stuck", "Mend it.")
    assert not status.is_current(topic(3, **status.rendered(topic(), 3, stalled, {}, NOW_MS)))
