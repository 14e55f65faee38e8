"""One broker a test run's worker, shared under names of one's own, and brokers of one's own."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from e2e.kafka.headrace import Headrace
from tests.integration.clients import OUR_BUGS
from tests.tools import TOOLS

PARTITIONS = 3
SHARED = {
    "num.partitions": str(PARTITIONS),
    # Joining members are not waited for: the first rebalance is as quick as the later ones.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "5",
}

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script ignores Ctrl-C, and so would every child of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)

MakeBroker = Callable[..., Headrace]
_NUMBERS = count()


def needs(tool: str) -> pytest.MarkDecorator:
    """A skip that names the missing tool and the package that brings it."""
    package, _ = TOOLS[tool]
    return pytest.mark.skipif(
        shutil.which(tool) is None, reason=f"{tool} is missing: apt-get install {package}"
    )


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    """Runs for the whole session; at the end it has to stop cleanly."""
    with Headrace(tmp_path_factory.mktemp("shared") / "data", settings=SHARED) as broker:
        yield broker
        process = broker.process
        assert process is not None
        broker.stop()
        assert process.returncode == 0, broker.output()[-2000:]


@pytest.fixture
def broker(shared_broker: Headrace) -> Iterator[Headrace]:
    """The shared broker; a test in which it logs a bug of its own fails."""
    before = len(shared_broker.output())
    yield shared_broker
    assert_no_bug(shared_broker.output()[before:])


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    """`make_broker(settings={...})` starts a broker that the test may stop, kill and restart."""
    made: list[Headrace] = []

    def make(settings: dict[str, str] | None = None, *, start: bool = True) -> Headrace:
        one = Headrace(
            tmp_path / f"broker-{len(made)}" / "data",
            settings={
                "group.initial.rebalance.delay.ms": "0",
                "offsets.topic.num.partitions": "1",
            }
            | (settings or {}),
        )
        made.append(one)
        stack.callback(one.kill)
        if start:
            one.start()
        return one

    with ExitStack() as stack:
        yield make
    for one in made:
        assert_no_bug(one.output())


def assert_no_bug(said: str) -> None:
    """No line of a broker's output tells of a bug of its own."""
    lines = said.splitlines()
    told = [n for n, line in enumerate(lines) if any(mark in line for mark in OUR_BUGS)]
    assert not told, "\n".join(lines[told[0] : told[0] + 40])


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name nobody else uses; the topic is made on first use."""
    return _unique(request, "topic")


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """A group name nobody else uses."""
    return _unique(request, "group")


def _unique(request: pytest.FixtureRequest, kind: str) -> str:
    safe = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"{safe[:80]}-{kind}-{next(_NUMBERS)}"
