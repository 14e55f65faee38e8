"""AlterClientQuotas v0-v1. Behaviour: each entity alone is altered or refused, as Kafka 4.3
checks it (KIP-546, KIP-612); brokers apply what they see in the metadata at once.

Skipped: AlterClientQuotas takes an ip as an address, not as a host's name.
Skipped: AlterClientQuotas refuses a value that is no number (NaN), which Kafka takes.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.base.image import QuotaEntity, QuotaState
from headrace.core.client_quotas import (
    CHANGES_MAX,
    Alteration,
    Asked,
    Values,
    alter,
    as_asked,
)
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.server.broker import Broker

_TOO_MANY = Refusal(Code.POLICY_VIOLATION, f"One request may change at most {CHANGES_MAX} quotas.")


async def handle(broker: "Broker", request: Any, _context: RequestContext) -> Fields:
    """Apply each entity's changes, or only say whether they could be."""
    alterations = [_alteration(entry) for entry in request.entries]
    answers: dict[Asked, Refusal | None] = {}

    def decide(
        quotas: "Mapping[QuotaEntity, QuotaState]",
    ) -> "Mapping[QuotaEntity, Values]":
        after, decided = alter(quotas, alterations)
        answers.update(decided)
        return {} if request.validate_only else after

    refusal: Refusal | None
    if sum(len(alteration.changes) for alteration in alterations) > CHANGES_MAX:
        refusal = _TOO_MANY
    else:
        refusal = await broker.controller.alter_quotas(decide)
    if refusal is not None:
        answers = {a.entity: answers.get(a.entity) or refusal for a in alterations}
    return {"entries": [_entry(entity, answer) for entity, answer in answers.items()]}


def _alteration(entry: Any) -> Alteration:
    return Alteration(
        entity=as_asked((e.entity_type, e.entity_name) for e in entry.entity),
        changes=tuple((op.key, None if op.remove else op.value) for op in entry.ops),
    )


def _entry(entity: Asked, refusal: Refusal | None) -> Fields:
    named = [{"entity_type": kind, "entity_name": name} for kind, name in entity]
    return {**outcome(refusal), "entity": named}
