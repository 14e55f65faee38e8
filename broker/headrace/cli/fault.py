"""Failures in words: what happened, where, what to do; with `-o json` one object on stdout."""

import errno
import sys
from itertools import pairwise
from typing import Any, Final

import click

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_OUTPUT_FAILED: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""Of an error without a file name: nothing else that a command writes has none."""


class Failure(Exception):
    """A command failed for a reason of its own. The sentence is for a person."""

    exit_code = EXIT_FAILED

    def __init__(self, sentence: str, *, code: str = "FAILED") -> None:
        super().__init__(sentence)
        self.code = code


class Misused(Failure):
    """It was called wrongly, in a way that `--help` would not mend: a setting, a profile."""

    exit_code = EXIT_USAGE


def report(error: Exception) -> bool:
    """Tell of a failure that a person can do something about. False: it is a bug of ours."""
    told = _in_words(error)
    if told is None:
        return False
    code, sentence = told
    _tell(code, sentence)
    return True


def report_usage(error: click.UsageError) -> None:
    """Tell how the command was called wrongly."""
    command = error.ctx.command_path if error.ctx is not None else "headrace"
    hint = f"`{command} --help` shows how it is used."
    message = " ".join(error.format_message().split())  # click lists choices with line ends
    _tell("USAGE", f"{_stopped(message)} {hint}")


def _in_words(error: Exception) -> tuple[str, str] | None:
    """(code, sentence); the modules that raise are looked up, not imported: they may be slow."""
    if isinstance(error, Failure):
        return error.code, str(error)
    if isinstance(error, click.ClickException):
        return "FAILED", error.format_message()
    errors: Any = sys.modules.get("headrace.client.errors")
    if errors is not None:
        if isinstance(error, errors.BrokerRefused):
            return error.code.name, str(error)
        if isinstance(error, errors.NoSuchBroker):
            return "UNREACHABLE", f"{error}: `headrace cluster status` shows the brokers"
        if isinstance(error, errors.Unreachable):
            return "UNREACHABLE", f"{_stopped(str(error))} {_how_to_reach()}"
        if isinstance(error, errors.ClientError):
            return type(error).__name__.upper(), str(error)
    records: Any = sys.modules.get("headrace.wire.records")
    if records is not None and isinstance(error, records.CorruptRecords):
        return "CORRUPT_RECORDS", str(error)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        where = error.filename or ("standard output" if error.errno in _OUTPUT_FAILED else "")
        return "SYSTEM", f"{where}{where and ': '}{error.strerror or error}"
    return None


def _stopped(sentence: str) -> str:
    """With one mark at its end."""
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _how_to_reach() -> str:
    return (
        "`headrace dev` starts a broker on this machine;"
        " --bootstrap HOST:PORT names one that runs elsewhere"
    )


def _tell(code: str, sentence: str) -> None:
    if wants_json(sys.argv):
        import json

        try:
            sys.stdout.write(json.dumps({"error": {"code": code, "message": sentence}}) + "\n")
            sys.stdout.flush()
            return
        except OSError:
            pass  # it is standard output that failed
    red, plain = ("\x1b[31m", "\x1b[0m") if colour_allowed(sys.stderr) else ("", "")
    sys.stderr.write(f"{red}headrace:{plain} {_stopped(sentence)}\n")


def wants_json(arguments: list[str]) -> bool:
    """Whether `-o json` is among the arguments: known even where they could not be parsed."""
    joined = {"-ojson", "-o=json", "--output=json"}
    pairs = pairwise(arguments)
    return any(a in joined for a in arguments) or any(
        flag in ("-o", "--output") and value == "json" for flag, value in pairs
    )


def colour_allowed(stream: Any) -> bool:
    """On a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb."""
    import os

    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and bool(stream.isatty())
