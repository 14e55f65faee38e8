"""The contract of the command line that needs no broker: codes, words, JSON, help."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from headrace.base.version import VERSION
from headrace.cli.main import COMMANDS, headrace

from tests.command_line import LAUNCHER, run

ROOT = Path(__file__).parents[3]


def every_command() -> Iterator[list[str]]:
    context = click.Context(headrace)
    for name in COMMANDS:
        command = headrace.get_command(context, name)
        if isinstance(command, click.Group):
            yield [name]
            yield from ([name, inner] for inner in command.commands)
        else:
            yield [name]


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_every_help_has_an_example_of_that_command(path: list[str]) -> None:
    shown = CliRunner().invoke(headrace, [*path, "--help"], prog_name="headrace")
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"headrace {' '.join(path)}" in shown.output.partition("Example")[2]


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_every_help_fits_80_columns(path: list[str]) -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(headrace, [*path, "--help"])
    assert max(map(len, shown.output.splitlines())) <= 80


@pytest.mark.parametrize(
    "words", ["help", "help version", "topic help", "topic help create", "help topic create"]
)
def test_help_is_a_command_too(words: str) -> None:
    asked = CliRunner().invoke(headrace, words.split(), prog_name="headrace")
    path = words.replace("help", "").split()
    by_option = CliRunner().invoke(headrace, [*path, "--help"], prog_name="headrace")
    assert (asked.exit_code, asked.output) == (0, by_option.output)


def test_the_list_of_commands_says_what_each_command_says() -> None:
    context = click.Context(headrace)
    for name, line in COMMANDS.items():
        command = headrace.get_command(context, name)
        assert command is not None and command.help is not None
        assert command.help.startswith(line), name


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    done = run("version", "-o", "json")
    assert (done.code, json.loads(done.out)["version"]) == (0, VERSION)
    assert run("--version").out == run("version").out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["vesion"], "Did you mean 'version'"),
        (["consume"], "Missing argument 'TOPIC'"),
        (["consume", "t", "--offset", "1", "--from-beginning"], "only one of"),
        (["consume", "t", "--format", "%y"], "%y stands for nothing"),
        (["consume", "t", "--timestamp", "yesterday"], "'yesterday' is neither"),
        (["produce", "t", "--header", "x"], "NAME=VALUE"),
        (["topic", "alter", "t"], "Nothing to change"),
        (["topic", "delete", "t"], "needs --yes"),
        (["group", "reset", "g"], "Give one of"),
        (["topic", "create", "x", "--partitions", "99999999999"], "1<=x<=2147483647"),
        (["topic", "alter", "x", "--partitions", "99999999999"], "1<=x<=2147483647"),
        (["topic", "create", "x", "--replicas", "99999"], "1<=x<=32767"),
        (["consume", "t", "--partition", "2147483648"], "0<=x<=2147483647"),
        (["consume", "t", "--offset", "99999999999999999999"], "x<=9223372036854775807"),
        (["consume", "t", "--timestamp", "99999999999999999999"], "beyond 64 bits"),
        (["consume", "t", "--timestamp", "9" * 5000], "is neither"),
        (["consume", "t", "--timestamp", "1969-12-31T23:59:59.999Z"], "is before 1970"),
        (["consume", "t", "--timestamp", "0001-01-01T00:00+23:59"], "is before 1970"),
        (["group", "reset", "g", "--to-offset", "9223372036854775808"], "x<=9223372036854775807"),
        (["config", "get", "broker", "99999999999"], "A broker's name is its number"),
        (["produce", "t", "--timeout", "nan"], "not a number of seconds"),
        (["produce", "t", "--timeout", "inf"], "<=x<="),
        (["topic", "create", "\udcff"], "'\\udcff' is not UTF-8 text."),
        (["group", "describe", "\udcff"], "'\\udcff' is not UTF-8 text."),
        (["config", "set", "topic", "t", "k=\udcff"], "'k=\\udcff' is not UTF-8 text."),
        (["produce", "t", "-H", "n=\udcff"], "'n=\\udcff' is not UTF-8 text."),
        (["produce", "t", "-K", "\\x"], "neither text nor an escape like \\t"),
        (["produce", "t", "-K", "\\u2192"], "neither text nor an escape"),
        (["produce", "t", "-K", "\udcff"], "'\\udcff' is not UTF-8 text."),
        (["quota", "set", "--client-id", "\udcff", "x=1"], "'\\udcff' is not UTF-8 text."),
    ],
)
def test_called_wrongly_is_code_2_and_a_sentence(arguments: list[str], part: str) -> None:
    # Nobody is at the address: a usage error is told before anybody is asked.
    arguments = [*arguments, *(["-b", "127.0.0.1:1"] if arguments != ["vesion"] else [])]
    done = run(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert part in done.err and done.err.startswith("headrace: ") and "\x1b" not in done.err


def test_errors_are_one_json_object_on_stdout() -> None:
    usage = run("consume", "-o", "json")
    assert (usage.code, usage.err) == (2, "")
    assert json.loads(usage.out)["error"]["code"] == "USAGE"
    failed = run("topic", "list", "-b", "127.0.0.1:1", "--output=json")
    assert (failed.code, failed.err) == (1, "")
    assert json.loads(failed.out)["error"]["code"] == "UNREACHABLE"


def test_no_broker_says_where_and_how_to_start_one() -> None:
    done = run("topic", "list", environment={"HEADRACE_BOOTSTRAP": "127.0.0.1:1"})
    assert (done.code, done.out) == (1, b"")
    assert "127.0.0.1:1" in done.err and "headrace dev" in done.err and "--bootstrap" in done.err


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 300, "\udcff"])
def test_what_cannot_be_a_host_is_code_2(host: str) -> None:
    for done in (
        run("topic", "list", "-b", f"{host}:9092"),
        run("topic", "list", environment={"HEADRACE_BOOTSTRAP": host}),
    ):
        assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1)
        assert "cannot be a host's name" in done.err or "is not UTF-8 text" in done.err


@pytest.mark.parametrize(
    ("closed", "arguments", "part"),
    [
        (1, ["version"], "standard output: Bad file descriptor"),
        (1, ["completion", "bash"], "standard output: Bad file descriptor"),
        (0, ["topic", "delete", "t", "-b", "127.0.0.1:1"], "needs --yes"),
        (2, ["version", "-x"], ""),
    ],
)
def test_a_closed_stream_is_an_error_in_words(closed: int, arguments: list[str], part: str) -> None:
    pipe = subprocess.PIPE
    command = [*LAUNCHER, *arguments]
    done = subprocess.run(command, stderr=pipe, preexec_fn=lambda: os.close(closed))
    assert done.returncode in (1, 2)
    assert part in done.stderr.decode() and b"Traceback" not in done.stderr


def test_a_bad_setting_names_its_place(tmp_path: Path) -> None:
    file = tmp_path / "broker.properties"
    file.write_text("# ours\nnum.partitions = many\n")
    done = run("broker", "--config", str(file))
    assert done.code == 2
    assert str(file) in done.err and "num.partitions=many" in done.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["dev", "--set", "nonsense=1"], "there is no such broker setting"),
        (["dev", "--set", "num.partitions=many"], "it is not a whole number."),
        (["dev", "--data-dir", __file__], "is a file. `headrace dev --help`"),
        (["topic", "list", "--profile", "absent"], "'absent'"),
        (["topic", "crate"], "There is no command 'crate'. Did you mean 'create'?"),
        (["config", "get"], "Choose from: topic, broker, group. `headrace"),
    ],
)
def test_wrong_usage_that_is_not_of_options_is_code_2_too(arguments: list[str], part: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert part in done.err and done.err.count("\n") == 1


def test_a_full_standard_output_is_named() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*LAUNCHER, "version"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"headrace: standard output: No space left on device.\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_completes_commands(shell: str) -> None:
    assert b"_HEADRACE_COMPLETE" in run("completion", shell).out


def test_completion_is_quiet_without_a_broker() -> None:
    asked = {"_HEADRACE_COMPLETE": "bash_complete", "HEADRACE_BOOTSTRAP": "127.0.0.1:1"}
    done = run(environment={**asked, "COMP_WORDS": "headrace consume ", "COMP_CWORD": "2"})
    assert (done.code, done.out.strip(), done.err) == (0, b"", "")


def test_completion_knows_the_settings_of_the_kind_before() -> None:
    asked = {"_HEADRACE_COMPLETE": "bash_complete", "COMP_CWORD": "5"}
    words = "headrace config set topic raw retention.m"
    assert run(environment={**asked, "COMP_WORDS": words}).out == b"plain,retention.ms=\n"


def test_completion_answers_with_commands_and_their_lines() -> None:
    asked = {"_HEADRACE_COMPLETE": "zsh_complete", "COMP_WORDS": "headrace con", "COMP_CWORD": "1"}
    answer = run(environment=asked).out.decode().split("\n")
    assert answer[:2] == ["plain", "consume"]
    assert "config" in answer
