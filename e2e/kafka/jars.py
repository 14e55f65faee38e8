"""Apache Kafka's jars, brought once by Maven into `.cache/kafka/` of the checkout."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).resolve().parent / "pom.xml"
CACHE = ROOT / ".cache" / "kafka"
FETCH_TIMEOUT_S = 600


class KafkaUnavailable(Exception):
    """Apache Kafka cannot run on this machine; the sentence says what to install."""


def missing() -> str | None:
    """What this machine lacks to run Apache Kafka, as one sentence, or None if nothing."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if not absent or (absent == ["mvn"] and _stamp_matches()):
        return None
    return (
        f"Apache Kafka cannot run beside Headrace: {' and '.join(absent)} not found; install "
        "Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"
    )


def classpath() -> str:
    """The Java class path of Kafka's broker and tools; fetches the jars on first use.

    Raises KafkaUnavailable with a sentence when Java or Maven is missing or Maven fails.
    """
    reason = missing()
    if reason is not None:
        raise KafkaUnavailable(reason)
    CACHE.mkdir(parents=True, exist_ok=True)
    # Test workers may all ask at once: one fetches, the others wait for it.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _stamp_matches():
            _fetch()
    return f"{CACHE / 'lib'}/*"


def _fetch() -> None:
    shutil.rmtree(CACHE / "lib", ignore_errors=True)
    done = subprocess.run(
        [
            "mvn",
            "--batch-mode",
            "--quiet",
            "--file",
            str(POM),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={CACHE / 'lib'}",
        ],
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise KafkaUnavailable(
            f"Maven could not bring Apache Kafka's jars into {CACHE / 'lib'} "
            f"(exit {done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}"
        )
    (CACHE / "stamp").write_text(_fingerprint())


def _fingerprint() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def _stamp_matches() -> bool:
    stamp = CACHE / "stamp"
    return stamp.is_file() and stamp.read_text() == _fingerprint()
