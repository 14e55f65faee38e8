"""DescribeClientQuotas v0-v1. Behaviour: exact, default and any name of a user, client-id or ip;
a strict filter leaves out entities of more kinds than it names (KIP-546).
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.base.image import QuotaEntity
from headrace.core.client_quotas import Component, Values, select
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


def handle(broker: "Broker", request: Any, _context: RequestContext) -> Fields:
    """The quotas that the filter matches."""
    components = [
        Component(kind=c.entity_type, match_type=c.match_type, match=c.match)
        for c in request.components
    ]
    found = select(broker.metadata.image.quotas, components, strict=request.strict)
    if isinstance(found, Refusal):
        return {**outcome(found), "entries": None}
    entries = [_entry(entity, values) for entity, values in found]
    return {"error_code": Code.NONE, "error_message": "", "entries": entries}


def _entry(entity: QuotaEntity, values: Values) -> Fields:
    return {
        "entity": [{"entity_type": kind, "entity_name": name} for kind, name in entity],
        "values": [{"key": key, "value": value} for key, value in values.items()],
    }
