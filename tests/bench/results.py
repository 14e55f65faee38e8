"""RESULTS.md: who ran what on which machine, the table with targets, the shares of ceilings."""

import datetime
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.kafka.jars import ROOT
from tests.bench.contest import Row
from tests.bench.rounds import Spread

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


def machine_facts(command: str) -> dict[str, str]:
    """What a reader needs to judge or repeat the figures."""
    processor = _field("/proc/cpuinfo", "model name") or platform.processor()
    memory_kb = int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0])
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "command": f"`{command}`",
        "machine": f"{os.cpu_count()} cores ({processor}), {memory_kb / 2**20:.0f} GiB memory, "
        f"{_filesystem()}, {platform.system()} {platform.release().split('-')[0]}",
        "software": f"CPython {platform.python_version()}, Apache Kafka 4.3.0 on {_java()}",
        "load before the run": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def render(facts: Mapping[str, str], rows: Sequence[Row], ceilings: Mapping[str, float]) -> str:
    """The whole file."""
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("met", "MISSED", "FAILED", "reported")
        if verdict in verdicts
    )
    lines = [
        "# Headrace beside Apache Kafka: results",
        "Written by `make bench`; the method is in [README.md](README.md). One machine, one run: "
        "only the ratios travel, not the rates.",
        "",
        *(f"- {key}: {value}" for key, value in facts.items()),
        f"- rows: {counts}",
        "",
        "Figures are the median (minimum to maximum) over the rounds. A ratio is Headrace over "
        "the other, pair by pair.",
        "",
        "| case | unit | other | Headrace | ratio | target | verdict |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        *_notes(rows),
        *_shares(rows, ceilings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def number(value: float) -> str:
    """Three to four figures, as people write them: 1,230,000 or 0.0123."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(row: Row) -> str:
    if row.failure:
        reason = " ".join(row.failure.split()).replace("|", "/")[:300]
        return f"| {row.title} | {row.unit} | | | | | **FAILED**: {reason} |"
    other = "" if row.other is None else f"{row.beside}: {_spread(row.other)}"
    ours = "" if row.ours is None else _spread(row.ours)
    ratio = "" if row.ratio is None else _spread(row.ratio, "x")
    verdict = f"**{row.verdict}**" if row.verdict == "MISSED" else row.verdict
    return f"| {row.title} | {row.unit} | {other} | {ours} | {ratio} | {_target(row)} | {verdict} |"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "≥" if row.target.at_least else "≤"
    unit = "x" if row.ratio is not None else f" {row.unit}"
    return f"{sign} {row.target.bound:.4g}{unit}"


def _spread(value: Spread, unit: str = "") -> str:
    if value.count == 1:
        return f"{number(value.median)}{unit}"
    return (
        f"{number(value.median)}{unit} ({number(value.minimum)} to {number(value.maximum)}, "
        f"n={value.count})"
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [f"- {row.title}: {row.note}" for row in rows if row.note]
    return ["## Notes", *notes, ""] if notes else []


def _shares(rows: Sequence[Row], ceilings: Mapping[str, float]) -> list[str]:
    """Each rate in bytes as a share of what the machine's loopback and disk can do at all."""
    if not ceilings:
        return []
    loopback, disk = ceilings["loopback, 64 KiB sends"], ceilings["buffered write"]
    lines = ["## Ceilings of the machine in this run", "| what | rate |", "|---|---|"]
    lines += [
        f"| {name} | {number(value)} {'/s' if 'fdatasync each' in name else 'MB/s'} |"
        for name, value in ceilings.items()
    ]
    lines += [
        "",
        "Each rate as a share of the loopback ceiling (64 KiB sends) and of buffered writes.",
        "",
        "| case | other MB/s | of loopback | of disk | Headrace MB/s | of loopback | of disk |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.byte_of and row.ours is not None:
            cells = [_share(row.other, row, loopback, disk), _share(row.ours, row, loopback, disk)]
            lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return [*lines, ""]


def _share(value: Spread | None, row: Row, loopback: float, disk: float) -> str:
    if value is None:
        return " | | "
    rate = value.median * row.byte_of / 1e6
    return f"{number(rate)} | {rate / loopback:.1%} | {rate / disk:.1%}"


def _field(path: str, name: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " with uncommitted changes" if changed else ""
    )


def _java() -> str:
    if shutil.which("java") is None:
        return "no Java"
    done = subprocess.run(["java", "-version"], capture_output=True, text=True)
    return (done.stderr or done.stdout).splitlines()[0].strip()


def _filesystem() -> str:
    best, kind = "", "unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, where, what, *_ = line.split()
        if str(ROOT).startswith(where) and len(where) >= len(best):
            best, kind = where, what
    return kind
