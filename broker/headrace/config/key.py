"""One setting as a typed value: Kafka's key, the default, what may stand there, who may change it.

A settings dataclass declares each field with `key(...)`; the descriptor rides in the field's
metadata, so the dataclass is the table. CONFIG.md, DescribeConfigs and parsing all read it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field
from difflib import get_close_matches
from enum import Enum, IntEnum
from typing import Any, Final, Literal

from headrace.base.units import INT32_MAX, INT64_MAX

Value = bool | int | float | str | tuple[str, ...] | None


class Kind(IntEnum):
    """The type as DescribeConfigs numbers it (KIP-569)."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7


class Update(Enum):
    """Who may change the setting of a running broker, as Kafka names the modes."""

    READ_ONLY = "read-only"
    PER_BROKER = "per-broker"
    CLUSTER_WIDE = "cluster-wide"


Kafka = Literal["same", "subset", "extension"]
"""same: Kafka's meaning and default. subset: Kafka's key, less of it, or another default; `doc`
says what. extension: ours."""

_BOUNDS: Final = {
    Kind.SHORT: (-(2**15), 2**15 - 1),
    Kind.INT: (-INT32_MAX - 1, INT32_MAX),
    Kind.LONG: (-INT64_MAX - 1, INT64_MAX),
}


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`; None leaves that side open."""

    low: float
    high: float | None = None

    def refuse(self, value: Value) -> str | None:
        number = value if isinstance(value, int | float) else self.low
        if number < self.low:
            return f"the value must be at least {self.low}"
        if self.high is not None and number > self.high:
            return f"the value must be no more than {self.high}"
        return None

    def __str__(self) -> str:
        return f"from {self.low}" + ("" if self.high is None else f" to {self.high}")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the words; for a LIST each item is."""

    words: tuple[str, ...]

    def refuse(self, value: Value) -> str | None:
        items = value if isinstance(value, tuple) else (str(value),)
        if any(item not in self.words for item in items):
            return f"it must be one of: {', '.join(self.words)}"
        return None

    def __str__(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class OneOrBetween:
    """A number in the range, or the one value that stands for "the library's choice"."""

    special: int
    range: Between

    def refuse(self, value: Value) -> str | None:
        reason = None if value == self.special else self.range.refuse(value)
        return None if reason is None else f"{reason}, or be {self.special}"

    def __str__(self) -> str:
        return f"{self.special}, or {self.range}"


Check = Between | OneOf | OneOrBetween


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerName:
    """A broker key that gives a topic key's default, its number in units of `unit`."""

    name: str
    unit: int = 1
    update: Update = Update.CLUSTER_WIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The descriptor of one setting. `broker` names the broker keys behind a topic key."""

    name: str
    kind: Kind
    default: Value
    doc: str
    check: Check | None = None
    update: Update = Update.READ_ONLY
    kafka: Kafka = "same"
    broker: tuple[BrokerName, ...] = ()

    def parse(self, text: str) -> Value:
        """The typed value of `text`. Raises SettingError with the reason."""
        value = _typed(self, text.strip())
        if self.check is not None:
            reason = self.check.refuse(value)
            if reason is not None:
                raise SettingError(self.name, text, reason)
        return value


class SettingError(ValueError):
    """A key that is unknown, or a value that may not stand there."""

    def __init__(self, name: str, value: str | None, reason: str) -> None:
        shown = name if value is None else f"{name}={value}"
        super().__init__(f"{shown}: {reason}.")
        self.name = name
        self.value = value
        self.reason = reason


def key(
    name: str,
    default: Value,
    doc: str,
    *,
    kind: Kind | None = None,
    check: Check | None = None,
    update: Update = Update.READ_ONLY,
    kafka: Kafka = "same",
    broker: str | Sequence[BrokerName] = (),
) -> Any:
    """A dataclass field that carries its descriptor; a number is a LONG unless `kind` says."""
    named = (BrokerName(name=broker),) if isinstance(broker, str) else tuple(broker)
    descriptor = Key(
        name=name,
        kind=kind or _kind_of(default),
        default=default,
        doc=doc,
        check=check,
        update=update,
        kafka=kafka,
        broker=named,
    )
    return field(default=default, metadata={"key": descriptor})


def keys_of(fields: Iterable[Field[Any]]) -> dict[str, Key]:
    """Field name to descriptor, in the order of declaration."""
    return {f.name: f.metadata["key"] for f in fields if "key" in f.metadata}


def text_of(value: Value) -> str | None:
    """A value as it stands in a file and in DescribeConfigs; None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return str(value).upper().replace("E+", "E")
    return str(value)


def unknown(name: str, known: Iterable[str], what: str) -> SettingError:
    """The error for a key that is not in the table, with the closest one that is."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.7)
    hint = f" (the closest is {close[0]})" if close else ""
    return SettingError(name, None, f"there is no such {what} setting{hint}")


def _kind_of(default: Value) -> Kind:
    if isinstance(default, bool):
        return Kind.BOOLEAN
    if isinstance(default, int):
        return Kind.LONG
    if isinstance(default, float):
        return Kind.DOUBLE
    return Kind.LIST if isinstance(default, tuple) else Kind.STRING


def _typed(descriptor: Key, text: str) -> Value:
    kind, name = descriptor.kind, descriptor.name
    if kind is Kind.STRING:
        return text
    if kind is Kind.LIST:
        return tuple(item.strip() for item in text.split(",")) if text else ()
    if kind is Kind.BOOLEAN:
        if text.lower() not in ("true", "false"):
            raise SettingError(name, text, "it must be either true or false")
        return text.lower() == "true"
    try:
        number = float(text) if kind is Kind.DOUBLE else int(text)
    except ValueError:
        what = "number" if kind is Kind.DOUBLE else "whole number"
        raise SettingError(name, text, f"it is not a {what}") from None
    low, high = _BOUNDS.get(kind, (number, number))
    if not low <= number <= high:
        raise SettingError(name, text, f"it is not a whole number from {low} to {high}")
    return number
