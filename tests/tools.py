"""Which tools the tests need beside Python, and what to install where one is missing.

`make test` runs this first, so that nobody has to read the skips to know what was left out.
"""

import shutil
import sys
from pathlib import Path

TOOLS = {
    "java": ("openjdk-17-jdk-headless", "Kafka's own tools and a Kafka to compare with"),
    "mvn": ("maven", "bringing Kafka's jars"),
    "kcat": ("kcat", "the kcat tests"),
    "go": ("golang-go", "the franz-go tests, and an etcd for those of brokers that share one"),
}


HELM = Path(__file__).parents[1] / ".cache" / "rig" / "bin" / "helm"
"""Built by `make e2e`."""


def helm() -> Path | None:
    """The helm to render the chart with: the rig's, else the one on the PATH."""
    found = shutil.which("helm")
    return HELM if HELM.exists() else Path(found) if found else None


def missing() -> dict[str, tuple[str, str]]:
    """The tools that are not on the PATH: package and purpose by name."""
    return {tool: about for tool, about in TOOLS.items() if shutil.which(tool) is None}


def main() -> int:
    absent = missing()
    for tool, (package, purpose) in absent.items():
        print(f"{tool} is missing: left out are the tests that need it ({purpose}).")
        print(f"    to run them: apt-get install {package}")
    if helm() is None:
        print("helm is missing: left out are the tests of the chart.")
        print("    to run them: go install helm.sh/helm/v4/cmd/helm@v4.3.1, or `make e2e` once")
    if not absent:
        print(f"every tool is here: {', '.join(TOOLS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
