"""CONFIG.md from the table: `python -m headrace.config.render --write` or `--check`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from headrace.config.broker import BROKER_FIELDS
from headrace.config.key import Key, text_of
from headrace.config.topic import TOPIC_KEYS

_FILE: Final = "CONFIG.md"
_KAFKA: Final = {"same": "as Kafka", "subset": "Kafka's key, differs", "extension": "ours"}

_INTRO: Final = """# Settings

Made from `broker/headrace/config/` by `make gen`; do not edit.

`headrace broker --config FILE` reads lines of `key=value`, `headrace dev --set key=value` takes
the same keys. An unknown key or a bad value stops the start and is named. Names, meaning and
defaults are Kafka's where the last column says so. *cluster-wide* settings can be changed while
brokers run, for one broker or for all (`headrace config set`, IncrementalAlterConfigs).
"""


def render() -> str:
    """The whole file."""
    topic = [_topic_row(key) for key in sorted(TOPIC_KEYS.values(), key=lambda key: key.name)]
    broker = [_broker_row(key) for key in sorted(BROKER_FIELDS.values(), key=lambda k: k.name)]
    return "\n".join(
        [
            _INTRO,
            "## Broker",
            *_table(("key", "default", "values", "changes", "what it does", "Kafka"), broker),
            "",
            "## Topic",
            "",
            "Each can be set for a topic, and its default for all topics with the broker keys "
            "named.",
            *_table(("key", "default", "values", "default from", "what it does", "Kafka"), topic),
            "",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """0 where the file is in step or was written, 1 where it differs, 2 for bad arguments."""
    path = Path(_FILE)
    match list(arguments):
        case ["--write"]:
            path.write_text(render(), encoding="utf-8")
            return 0
        case ["--check"]:
            if path.exists() and path.read_text(encoding="utf-8") == render():
                return 0
            print(f"{_FILE} is not in step with the settings: run `make gen`.", file=sys.stderr)
            return 1
    print("usage: python -m headrace.config.render --check|--write", file=sys.stderr)
    return 2


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["", _row(heads), _row(["---"] * len(heads))]
    return lines + [_row(row) for row in rows]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _broker_row(key: Key) -> tuple[str, ...]:
    return (
        f"`{key.name}`",
        _code(text_of(key.default)),
        _values(key),
        key.update.value,
        key.doc,
        _KAFKA[key.kafka],
    )


def _topic_row(key: Key) -> tuple[str, ...]:
    return (
        f"`{key.name}`",
        _code(text_of(key.default)),
        _values(key),
        ", ".join(f"`{broker.name}`" for broker in key.broker),
        key.doc,
        _KAFKA[key.kafka],
    )


def _values(key: Key) -> str:
    kind = key.kind.name.lower()
    return kind if key.check is None else f"{kind}: {key.check}"


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
