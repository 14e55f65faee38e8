"""IncrementalAlterConfigs v0-v1. Behaviour: SET, DELETE, APPEND and SUBTRACT on topics, brokers
(one, or "" for all; they apply while it runs) and broker loggers; each resource alone.

Skipped: IncrementalAlterConfigs knows no settings of groups and of client metrics.
Skipped: IncrementalAlterConfigs refuses an unknown setting of a broker; Kafka keeps it for plugins.
Skipped: IncrementalAlterConfigs keeps a list as it was given; Kafka drops words that are repeated.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Refusal
from headrace.core.overrides import Change
from headrace.core.resources import BROKER_LOGGER
from headrace.server.alter_configs import (
    DONE,
    Done,
    alter_all,
    alter_anywhere,
    alter_loggers,
    alter_own,
)
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.versions import INCREMENTAL_ALTER_CONFIGS

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Apply each resource's operations, or only say whether they could be."""

    async def here(resource: Any) -> Refusal | Done | None:
        changes, dry = _changes(resource), request.validate_only
        if resource.resource_type == BROKER_LOGGER:
            return alter_loggers(broker, resource.resource_name, changes, dry) or DONE
        return await alter_own(broker, resource, changes, validate_only=dry)

    return await alter_anywhere(broker, INCREMENTAL_ALTER_CONFIGS, request, context, here)


async def at_controller(broker: "Broker", request: Any, _context: RequestContext) -> Fields:
    """The same, of what the broker that was asked found no fault with."""
    return await alter_all(broker, request, _changes)


def _changes(resource: Any) -> list[Change]:
    return [Change(c.name, c.value, c.config_operation) for c in resource.configs]
