"""SKIPPED.md from its sources: the `Skipped:` lines of docstrings, and the keys not advertised.

`python -m headrace.server.skipped --write` writes the file, `--check` fails when it is not in
step. A line that begins with `Skipped:` in the docstring of any module says one deviation from
Apache Kafka 4.3; it goes on until an empty line or the next one.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.wire.versions import APIS

PACKAGE: Final = Path(__file__).resolve().parents[1]
TARGET: Final = PACKAGE.parents[1] / "SKIPPED.md"
MARK: Final = "Skipped:"

KAFKA_APIS: Final = {
    **{key: api.name for key, api in APIS.items()},
    17: "SaslHandshake",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    27: "WriteTxnMarkers",
    28: "TxnOffsetCommit",
    29: "DescribeAcls",
    30: "CreateAcls",
    31: "DeleteAcls",
    36: "SaslAuthenticate",
    38: "CreateDelegationToken",
    39: "RenewDelegationToken",
    40: "ExpireDelegationToken",
    41: "DescribeDelegationToken",
    48: "DescribeClientQuotas",
    49: "AlterClientQuotas",
    50: "DescribeUserScramCredentials",
    51: "AlterUserScramCredentials",
    64: "UnregisterBroker",
    65: "DescribeTransactions",
    66: "ListTransactions",
    68: "ConsumerGroupHeartbeat",
    69: "ConsumerGroupDescribe",
    71: "GetTelemetrySubscriptions",
    72: "PushTelemetry",
    76: "ShareGroupHeartbeat",
    77: "ShareGroupDescribe",
    78: "ShareFetch",
    79: "ShareAcknowledge",
    80: "AddRaftVoter",
    81: "RemoveRaftVoter",
    83: "InitializeShareGroupState",
    84: "ReadShareGroupState",
    85: "WriteShareGroupState",
    86: "DeleteShareGroupState",
    87: "ReadShareGroupStateSummary",
    88: "StreamsGroupHeartbeat",
    89: "StreamsGroupDescribe",
    90: "DescribeShareGroupOffsets",
    91: "AlterShareGroupOffsets",
    92: "DeleteShareGroupOffsets",
}
"""What a broker of Apache Kafka 4.3 knows on its client listener, by API key."""


def skipped_lines(docstring: str) -> Iterator[str]:
    """The deviations that a docstring names, each as one line."""
    held: list[str] = []
    for line in [*docstring.splitlines(), ""]:
        text = line.strip()
        if held and (not text or text.startswith(MARK)):
            yield " ".join(held)
            held = []
        if text.startswith(MARK):
            held = [text.removeprefix(MARK).strip()]
        elif held:
            held.append(text)


def sections() -> Iterator[tuple[str, list[str]]]:
    """(module, its deviations) of each module that has any, in the order of their paths."""
    for path in sorted(PACKAGE.rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        found = list(skipped_lines(docstring))
        if found:
            yield str(path.relative_to(PACKAGE)), found


def render() -> str:
    """The whole of SKIPPED.md."""
    lines = [
        "# What differs from Apache Kafka 4.3",
        "",
        "Written by `make gen` from the `Skipped:` lines in the code; do not edit.",
        "",
        "## APIs that are not there",
        "",
        "Not advertised in ApiVersions; a request for one closes its connection.",
        "",
        "| key | API |",
        "|---|---|",
        *(f"| {k} | {KAFKA_APIS[k]} |" for k in sorted(KAFKA_APIS.keys() - APIS.keys())),
        "",
        "## What is done otherwise, or not yet",
    ]
    for module, found in sections():
        lines += ["", f"`{module}`", "", *(f"- {text}" for text in found)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the file; 0 when it is in step, 2 for a wrong argument."""
    if arguments == ["--write"]:
        TARGET.write_text(render())
        return 0
    if arguments == ["--check"]:
        if TARGET.is_file() and TARGET.read_text() == render():
            return 0
        print(f"{TARGET.name} is not in step with the code: run `make gen`", file=sys.stderr)
        return 1
    print("usage: python -m headrace.server.skipped --write | --check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
