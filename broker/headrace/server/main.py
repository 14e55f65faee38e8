"""The broker process: settings in, ready line out, until a signal or a failure ends it."""

import asyncio
import contextlib
import gc
import resource
import signal
import sys
import time
from collections.abc import Mapping
from typing import Final

import structlog
import uvloop

from headrace.base.invariant import Bug
from headrace.base.version import VERSION
from headrace.config.listeners import EVERYWHERE, endpoints_of
from headrace.config.table import broker_settings
from headrace.meta.embedded import NewerFormat
from headrace.meta.keys import UnknownFormat
from headrace.meta.store import Unavailable
from headrace.server import crash, logs
from headrace.server.broker import Broker, StartError
from headrace.server.metadata import MetadataError
from headrace.storage.data_dir import DataDirError
from headrace.storage.disk import DiskFault, DiskFull

log = structlog.get_logger("headrace.broker")

EXIT_FAILED: Final = 1

_GC_ALLOCATIONS: Final = 50_000
"""A young collection every 50,000 net allocations: the default of 700 shows in the p99."""


def run(settings: Mapping[str, str], *, for_people: bool, ready_line: bool) -> int:
    """Run a broker with these settings (texts by canonical key) until it is told to stop.

    `ready_line` prints one on stdout for whoever started it; else a log line says it. Returns the
    exit code: 0 after SIGTERM or Ctrl-C, 1 where it could not start or its disk failed (one
    sentence on stderr). Raises SettingError.
    """
    began = time.monotonic()
    checked = broker_settings(settings)
    logs.configure(for_people=for_people, level=checked.logging_level)
    _raise_file_limit()
    gc.set_threshold(_GC_ALLOCATIONS, 20, 20)
    try:
        return uvloop.run(_serve(settings, began, for_people=for_people, ready_line=ready_line))
    except (
        StartError,
        MetadataError,
        DataDirError,
        DiskFault,
        DiskFull,
        NewerFormat,
        UnknownFormat,
        Unavailable,
    ) as failed:
        print(f"headrace could not start: {failed}", file=sys.stderr)
        return EXIT_FAILED
    except Bug as bug:
        crash.now(bug)


async def _serve(
    settings: Mapping[str, str], began: float, *, for_people: bool, ready_line: bool
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unhandled)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    broker = Broker(settings)
    try:
        if not await _started(broker, stopping):
            return 0
        seconds = time.monotonic() - began
        if ready_line:
            print(_ready_line(broker, seconds), flush=True)
        if not for_people:
            log.info("the broker is ready", seconds=round(seconds, 3), **_told(broker))
        _warn_of_localhost(broker)
        broker.failed.add_done_callback(lambda _: stopping.set())
        await stopping.wait()
        failed = broker.failed.done()
    finally:
        await broker.close()
    if failed:
        print(f"headrace stops: {broker.failed.result()}", file=sys.stderr)
        return EXIT_FAILED
    if not for_people:
        log.info("the broker has stopped, everything is on disk")
    if sys.stdout.isatty():
        print("headrace has stopped; everything is on disk", flush=True)
    return 0


async def _started(broker: Broker, stopping: asyncio.Event) -> bool:
    """Start the broker, unless a signal comes first: recovery may take a while."""
    starting = asyncio.create_task(broker.start())
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


def _ready_line(broker: Broker, seconds: float) -> str:
    addresses = " ".join(_addresses(broker))
    count = len(broker.partitions)
    partitions = "1 partition" if count == 1 else f"{count} partitions"
    return f"headrace is ready: {addresses} ({partitions}, after {seconds:.2f} s)"


def _addresses(broker: Broker) -> list[str]:
    kafka = [f"kafka://{e.host}:{e.port}" for e in broker.kafka_endpoints]
    host = broker.settings.http_host or "localhost"
    return kafka + ([f"http://{host}:{broker.http_port}/metrics"] if broker.http_port >= 0 else [])


def _told(broker: Broker) -> dict[str, object]:
    return {
        "addresses": _addresses(broker),
        "partitions": len(broker.partitions),
        "version": VERSION,
        "node_id": broker.node_id,
        "cluster_id": broker.cluster_id,
        "log_dirs": broker.data_dir.path,
    }


def _warn_of_localhost(broker: Broker) -> None:
    """Listening for other machines and telling them "localhost" helps none of them."""
    settings = broker.settings
    hosts = [e.host for e in endpoints_of("listeners", settings.listeners)]
    if any(host in EVERYWHERE for host in hosts) and not settings.advertised_listeners:
        log.warning(
            "clients on other machines are told localhost: name this broker in "
            "advertised.listeners, as PLAINTEXT://host.example:9092"
        )


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A callback that raised is a bug of ours: our state may be half changed (decision 17)."""
    error = context.get("exception")
    if isinstance(error, ConnectionError | TimeoutError):
        return
    crash.now(error if isinstance(error, BaseException) else Bug(str(context.get("message"))))


def _raise_file_limit() -> None:
    """Each partition keeps files open: take what the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
