"""kafka-python's own integration tests, from its source package, against a running broker.

The package has the tests but lacks what starts brokers for them: `test/__init__.py`, the module
`test/service.py` and a folder where a Kafka would be. They are supplied when it is unpacked.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from enum import Enum
from pathlib import Path

from e2e.kafka.jars import ROOT

VERSION = "3.0.12"
KAFKA_VERSION = "4.3.0"
SHA256 = "4ccda3616b9aa5c353d74a97f2770d6cd1b950890d77ab0e8890e09a48eeed65"
CACHE = ROOT / ".cache" / "kafka-python"
SOURCE = CACHE / f"kafka_python-{VERSION}"
DOWNLOAD_TIMEOUT_S = 600
TEST_TIMEOUT_S = 120
SUITE_TIMEOUT_S = 1800

SERVICE = '''
class ExternalService:
    """A broker that somebody else started."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def start(self):
        pass

    def wait_for(self, pattern, timeout=None):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    """A broker of the tests' own: there is none here, so asking for one is an error."""

    def __init__(self, args, env):
        raise RuntimeError("no broker is started for this test: it needs one of its own")
'''


class Result(Enum):
    """What became of one test."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


class SuiteUnavailable(Exception):
    """The tests could not be brought or run; the sentence says why."""


def run(port: int, name: str) -> dict[str, tuple[Result, str]]:
    """Every test's result and, where it did not pass, the first line of why.

    port: of a broker on loopback; name: of the file in the cache that keeps the whole output.
    Raises SuiteUnavailable.
    """
    _unpack()
    report = CACHE / f"{name}.xml"
    report.unlink(missing_ok=True)
    words = ["-m", "pytest", "test/integration", "-q", "--rootdir", str(SOURCE), "-c", "/dev/null"]
    words += ["-p", "no:cacheprovider", "-p", "no:xdist", f"--timeout={TEST_TIMEOUT_S}"]
    done = subprocess.run(
        [sys.executable, *words, f"--junitxml={report}"],
        cwd=SOURCE,
        env=os.environ | {"KAFKA_URI": f"kafka://127.0.0.1:{port}", "KAFKA_VERSION": KAFKA_VERSION},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SUITE_TIMEOUT_S,
    )
    (CACHE / f"{name}.log").write_text(done.stdout + done.stderr)
    if not report.is_file():
        raise SuiteUnavailable(f"kafka-python's tests did not run: {done.stdout[-2000:]}")
    return _results(report)


def _results(report: Path) -> dict[str, tuple[Result, str]]:
    results = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        module = (case.get("classname") or "").rpartition(".")[2]
        result, why = Result.PASS, ""
        for child in case:
            kind = {"failure": Result.FAIL, "error": Result.ERROR, "skipped": Result.SKIP}
            if child.tag in kind:
                result, why = kind[child.tag], (child.get("message") or "").split("\n")[0]
        results[f"{module}::{case.get('name')}"] = (result, why)
    return results


def _unpack() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"kafka_python-{VERSION}.tar.gz"
    if not archive.is_file():
        _download()
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SuiteUnavailable(f"{archive} is not kafka-python {VERSION}: its SHA-256 is {found}")
    if not SOURCE.is_dir():
        with tarfile.open(archive) as held:
            held.extractall(CACHE, filter="data")
    (SOURCE / "test" / "__init__.py").touch()
    (SOURCE / "test" / "service.py").write_text(SERVICE)
    (SOURCE / "servers" / KAFKA_VERSION / "kafka-bin").mkdir(parents=True, exist_ok=True)


def _download() -> None:
    words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run(
        [sys.executable, *words, "--dest", str(CACHE), f"kafka-python=={VERSION}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise SuiteUnavailable(f"pip could not bring kafka-python {VERSION}: {done.stderr[-2000:]}")
