"""Describing and altering quotas: checks in Kafka's order, as pure answers.

Source: KIP-546; Kafka 4.3's ClientQuotaControlManager and ClientQuotasImage, asked over the wire.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from math import isnan
from typing import Final

from headrace.base.errors import Code, Refusal
from headrace.base.image import QuotaEntity, QuotaState
from headrace.base.units import INT32_MAX, INT64_MAX
from headrace.core.quotas import (
    CLIENT_ID,
    CLIENT_QUOTAS,
    CONNECTION,
    FETCH,
    IP,
    PRODUCE,
    USER,
)

CHANGES_MAX: Final = 10_000
"""Values that one request may change, Kafka's bound of what a request may write."""

EXACT, DEFAULT, SPECIFIED = 0, 1, 2

_KINDS: Final = (USER, CLIENT_ID, IP)
_WHOLE_MAX: Final = {
    PRODUCE.key: float(INT64_MAX),
    FETCH.key: float(INT64_MAX),
    CONNECTION.key: float(INT32_MAX),
}
"""Quotas that are whole numbers, and the largest; the others may have a fraction."""
_FRACTION: Final = 1e-6

Values = Mapping[str, float]
Asked = tuple[tuple[str, str | None], ...]
"""An entity as a request named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """What is asked for one entity: (key, value) pairs, None removes."""

    entity: Asked
    changes: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One condition of a filter; `match` is the name where `match_type` is EXACT."""

    kind: str
    match_type: int
    match: str | None


def as_asked(pairs: Iterable[tuple[str, str | None]]) -> Asked:
    """The entity of a request; of a kind that is named twice the last counts, as in Kafka."""
    return tuple(sorted(dict(pairs).items(), key=lambda pair: pair[0]))


def alter(
    quotas: Mapping[QuotaEntity, QuotaState], alterations: Sequence[Alteration]
) -> tuple[dict[QuotaEntity, Values], dict[Asked, Refusal | None]]:
    """The values of each entity that changes ({} removes it), and the answer for each asked.

    An entity that is refused changes nothing; the others go on. One that is named again is
    refused, though its first alteration is made: so does Kafka.
    """
    after: dict[QuotaEntity, Values] = {}
    answers: dict[Asked, Refusal | None] = {}
    for alteration in alterations:
        asked = alteration.entity
        keys = Counter(key for key, _ in alteration.changes)
        if asked in answers or any(count > 1 for count in keys.values()):
            answers[asked] = _invalid(f"The entity {shown(asked)}, or a key of it, is named twice.")
            continue
        entity = _entity(asked)
        if isinstance(entity, Refusal):
            answers[asked] = entity
            continue
        before = quotas[entity].values if entity in quotas else {}
        values = _changed(entity, before, alteration.changes)
        if isinstance(values, Refusal):
            answers[asked] = values
            continue
        answers[asked] = None
        if values != before:
            after[entity] = values
    return after, answers


def select(
    quotas: Mapping[QuotaEntity, QuotaState], components: Sequence[Component], *, strict: bool
) -> list[tuple[QuotaEntity, Values]] | Refusal:
    """The entities that every component matches; `strict` ones have no other kinds besides."""
    exact: dict[str, str | None] = {}
    specified: set[str] = set()
    for component in components:
        refusal = _refuse_component(component, exact.keys() | specified)
        if refusal is not None:
            return refusal
        if component.match_type == SPECIFIED:
            specified.add(component.kind)
        else:
            exact[component.kind] = component.match
    kinds = exact.keys() | specified
    if IP in kinds and len(kinds) > 1:
        return _invalid("An ip is not combined with a user or a client-id.")
    return [
        (entity, state.values)
        for entity, state in quotas.items()
        if _matches(dict(entity), exact, specified) and not (strict and len(entity) != len(kinds))
    ]


def shown(entity: Iterable[tuple[str, str | None]]) -> str:
    """An entity for people: user alice, client-id (default)."""
    return ", ".join(f"{kind} {'(default)' if name is None else name}" for kind, name in entity)


def _matches(
    entity: Mapping[str, str | None], exact: Mapping[str, str | None], specified: set[str]
) -> bool:
    return specified <= entity.keys() and all(
        kind in entity and entity[kind] == name for kind, name in exact.items()
    )


def _refuse_component(component: Component, seen: Iterable[str]) -> Refusal | None:
    kind = component.kind
    if not kind:
        return _invalid("A component of the filter has an empty entity type.")
    if kind in seen:
        return _invalid(f"The entity type {kind} stands more than once in the filter.")
    if kind not in _KINDS:
        return Refusal(Code.UNSUPPORTED_VERSION, f"There is no entity type {kind}.")
    if component.match_type not in (EXACT, DEFAULT, SPECIFIED):
        return _invalid(f"There is no match type {component.match_type}.")
    if (component.match_type == EXACT) != (component.match is not None):
        return _invalid("An exact match, and no other, gives the name to match.")
    return None


def _entity(asked: Asked) -> QuotaEntity | Refusal:
    named = dict(asked)
    if not named:
        return _invalid("The entity is empty.")
    for kind, name in asked:
        if kind not in _KINDS:
            return _invalid(f"There is no entity type {kind}.")
        if name == "":
            return _invalid(f"The name of a {kind} is not empty.")
    if IP in named:
        if len(named) > 1:
            return _invalid("An ip is not combined with a user or a client-id.")
        if not _is_address(named[IP]):
            return _invalid(f"{named[IP]} is not an IP address.")
    return tuple((kind, named[kind]) for kind in _KINDS if kind in named)


def _is_address(name: str | None) -> bool:
    try:
        return name is None or bool(ip_address(name))
    except ValueError:
        return False


def _changed(
    entity: QuotaEntity, before: Values, changes: Iterable[tuple[str, float | None]]
) -> Values | Refusal:
    quotas = (CONNECTION,) if entity[0][0] == IP else CLIENT_QUOTAS
    keys = [quota.key for quota in quotas]
    after = dict(before)
    for key, value in changes:
        if value is None:
            after.pop(key, None)
            continue
        refusal = _refuse_value(keys, key, value)
        if refusal is not None:
            return refusal
        after[key] = value
    return after


def _refuse_value(keys: Sequence[str], key: str, value: float) -> Refusal | None:
    if key not in keys:
        return _invalid(f"There is no quota {key} here; there are {', '.join(keys)}.")
    if isnan(value) or value <= 0:
        return _invalid(f"The quota {key} must be greater than 0.")
    largest = _WHOLE_MAX.get(key)
    if largest is None:
        return None
    if value > largest:
        return _invalid(f"The quota {key} is at most {int(largest)}.")
    if value % 1.0 > _FRACTION:
        return _invalid(f"The quota {key} is a whole number.")
    return None


def _invalid(sentence: str) -> Refusal:
    return Refusal(Code.INVALID_REQUEST, sentence)
