"""Lines of Prometheus' text format, version 0.0.4."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A metric's name, type (counter, gauge) and meaning."""

    name: str
    kind: str
    doc: str

    def head(self) -> str:
        """The two comment lines above its samples."""
        return f"# HELP {self.name} {self.doc}\n# TYPE {self.name} {self.kind}\n"


def line(name: str, value: float, **labels: object) -> str:
    """One sample."""
    if not labels:
        return f"{name} {value}\n"
    inside = ",".join(f'{key}="{_escape(str(label))}"' for key, label in labels.items())
    return f"{name}{{{inside}}} {value}\n"


def _escape(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
