"""The house rules that a machine can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROKER = ROOT / "broker" / "headrace"
OPERATOR = ROOT / "operator" / "headrace_operator"
FILE_LINES_MAX = 600
MEDIAN_LINES_MAX = 200
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
PURE = ("base", "config", "wire", "core")


def sources() -> list[Path]:
    broker, operator = sorted(BROKER.rglob("*.py")), sorted(OPERATOR.rglob("*.py"))
    assert len(broker) > 50 and len(operator) > 10, "the sources are not where this test looks"
    return broker + operator


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_small() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in sources()}
    assert not [shown(p) for p, count in lines.items() if count > FILE_LINES_MAX]
    sizes = sorted(count for count in lines.values() if count)
    assert sizes[len(sizes) // 2] <= MEDIAN_LINES_MAX


def test_functions_fit_a_screen() -> None:
    long = [
        f"{shown(path)}:{node.name} ({(node.end_lineno or 0) - node.lineno + 1} lines)"
        for path in sources()
        for node in functions(ast.parse(path.read_text()))
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        shown(path)
        for path in sources()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_module_is_a_drawer() -> None:
    assert not [shown(path) for path in sources() if path.stem in FORBIDDEN_NAMES]


def test_the_two_roots_are_not_packages() -> None:
    assert not (ROOT / "broker" / "__init__.py").exists()
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_the_pure_packages_have_no_coroutines() -> None:
    impure = [
        f"{shown(path)}:{node.name}"
        for package in PURE
        for path in sorted((BROKER / package).rglob("*.py"))
        for node in functions(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert not impure


def test_nothing_is_left_for_later() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert not [shown(path) for path in sources() if mark.search(path.read_text())]


def test_production_invariants_do_not_vanish_with_python_o() -> None:
    """An assert may narrow a type; a promise is kept by `invariant`."""
    narrowing = re.compile(r"^assert (isinstance\(|\w[\w.\[\]]* is not None)")
    loose = [
        f"{shown(path)}:{number}"
        for path in sources()
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if text.strip().startswith("assert ") and not narrowing.match(text.strip())
    ]
    assert not loose


@pytest.mark.parametrize("command", [["version"], ["--help"]])
def test_the_command_line_starts_lean(command: list[str]) -> None:
    """What makes a start slow is what is imported: the broker and the tables stay out."""
    code = (
        "import sys; from headrace.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('rich', 'kio', 'uvloop', 'aiohttp', 'pydantic', 'structlog')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "[]", done.stderr
