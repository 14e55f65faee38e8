"""A real `headrace dev` for the tests, one for each worker, and brokers of a test's own."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import missing
from tests.tools import TOOLS

Start = Callable[..., Headrace]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    """A broker that the tests of this worker share; nobody stops it or changes its settings."""
    settings = {"num.partitions": "2", "group.initial.rebalance.delay.ms": "0"}
    with Headrace(tmp_path_factory.mktemp("shared") / "data", settings=settings) as running:
        yield running


@pytest.fixture
def bootstrap(broker: Headrace) -> str:
    """The shared broker's address."""
    return broker.bootstrap


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start brokers of this test's own: `start(settings)`; what still runs is killed at the end."""
    started: list[Headrace] = []

    def start_one(settings: dict[str, str] | None = None) -> Headrace:
        one = Headrace(
            tmp_path / f"data{len(started)}",
            settings={"group.initial.rebalance.delay.ms": "0"} | (settings or {}),
        )
        one.start()
        started.append(one)
        return one

    yield start_one
    for one in started:
        one.kill()


_numbers = itertools.count()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for topics and groups that no other test uses."""
    words = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"{words.strip('-')}-{next(_numbers)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, by name and with the reason, what needs a tool that is not here."""
    kafka = missing()
    for item in items:
        for marker in item.iter_markers("needs"):
            tool = marker.args[0]
            if tool == "kafka" and kafka is not None:
                item.add_marker(pytest.mark.skip(reason=kafka))
            elif tool != "kafka" and shutil.which(tool) is None:
                package = TOOLS[tool][0]
                why = f"{tool} is missing; to run this test: apt-get install {package}"
                item.add_marker(pytest.mark.skip(reason=why))
