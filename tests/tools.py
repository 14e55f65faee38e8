"""Which tools the tests need beside Python, and what to install where one is missing.

`make test` runs this first, so that nobody has to read the skips to know what was left out.
"""

import shutil
import sys

TOOLS = {
    "java": ("openjdk-17-jdk-headless", "Kafka's own tools and a Kafka to compare with"),
    "mvn": ("maven", "bringing Kafka's jars"),
    "kcat": ("kcat", "the kcat tests"),
    "go": ("golang-go", "the franz-go tests"),
}


def missing() -> dict[str, tuple[str, str]]:
    """The tools that are not on the PATH: package and purpose by name."""
    return {tool: about for tool, about in TOOLS.items() if shutil.which(tool) is None}


def main() -> int:
    absent = missing()
    for tool, (package, purpose) in absent.items():
        print(f"{tool} is missing: left out are the tests that need it ({purpose}).")
        print(f"    to run them: apt-get install {package}")
    if not absent:
        print(f"every tool is here: {', '.join(TOOLS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
