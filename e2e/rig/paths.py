"""Where the rig keeps what it builds, runs and logs."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = Path(__file__).parent / "modules"
CACHE = ROOT / ".cache" / "rig"
BIN = CACHE / "bin"
LOGS = CACHE / "logs"
RUN = CACHE / "run"
IMAGES = CACHE / "images"
