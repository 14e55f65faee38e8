"""Apache Kafka's own command-line tools, run against any broker."""

import subprocess
from collections.abc import Sequence

from e2e.kafka.jars import classpath

# 512 MiB is what Kafka's scripts give its performance tools (kafka-producer-perf-test.sh).
HEAP = "-Xmx512M"


class ToolFailed(Exception):
    """A tool ended with an exit code other than 0 or ran out of time."""


def tool_command(main_class: str, *arguments: str, java_options: Sequence[str] = ()) -> list[str]:
    """The command line of a tool; a name without a dot is one of org.apache.kafka.tools."""
    name = main_class if "." in main_class else f"org.apache.kafka.tools.{main_class}"
    return ["java", HEAP, *java_options, "-cp", classpath(), name, *arguments]


def run_tool(
    main_class: str, *arguments: str, timeout_s: float = 120.0, text: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs a tool to its end: `run_tool("TopicCommand", "--bootstrap-server", address, "--list")`.

    text:  its standard input
    check: raise ToolFailed with the output unless it exits with 0
    """
    command = tool_command(main_class, *arguments)
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as late:
        raise ToolFailed(
            f"{main_class} did not end within {timeout_s} s: {late.stdout!r}"
        ) from None
    if check and done.returncode != 0:
        raise ToolFailed(
            f"{main_class} {' '.join(arguments)} ended with {done.returncode}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done
