"""Questions on a terminal: what is asked, and how one gets away."""

import signal

import pytest

from tests.command_line import Terminal

NOBODY = ["-b", "127.0.0.1:1"]
CTRL_C, CTRL_D = "\x03", "\x04"


def test_ctrl_c_at_a_question_ends_at_once() -> None:
    with Terminal.running("topic", "delete", "one", *NOBODY) as terminal:
        terminal.until("Delete one and all records in it? [y/N] ")
        terminal.press(CTRL_C)
        assert terminal.end(timeout_s=5) == -signal.SIGINT  # a shell calls that 130
    assert terminal.shown.endswith("[y/N] ^C\nNothing was changed.\n")


@pytest.mark.parametrize("keys", [CTRL_D, "\n", "n\n", "perhaps\nno\n"])
def test_any_other_way_out_changes_nothing(keys: str) -> None:
    with Terminal.running("topic", "delete", "one", "two", *NOBODY) as terminal:
        terminal.until("Delete one, two and all records in them? [y/N] ")
        terminal.press(keys)
        assert terminal.end(timeout_s=5) == 1
    assert terminal.shown.endswith("headrace: Nothing was changed.\n")
    assert ("Please answer y or n." in terminal.shown) == ("perhaps" in keys)


def test_yes_goes_on() -> None:
    with Terminal.running("topic", "delete", "one", *NOBODY) as terminal:
        terminal.until("[y/N] ")
        terminal.press("yes\n")
        assert terminal.end() == 1
    assert "No broker at 127.0.0.1:1" in terminal.shown
