"""AlterConfigs v0-v2. Behaviour: replaces all dynamic settings of a topic or of brokers, what is
not named goes back to its default. IncrementalAlterConfigs is the one to use.

Skipped: AlterConfigs knows no settings of groups and of client metrics.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Refusal
from headrace.core.overrides import Change
from headrace.server.alter_configs import Done, alter_all, alter_anywhere, alter_own
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.versions import ALTER_CONFIGS

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Replace each resource's settings, or only say whether it could be done."""

    async def here(resource: Any) -> Refusal | Done | None:
        changes, dry = _changes(resource), request.validate_only
        return await alter_own(broker, resource, changes, replace=True, validate_only=dry)

    return await alter_anywhere(broker, ALTER_CONFIGS, request, context, here)


async def at_controller(broker: "Broker", request: Any, _context: RequestContext) -> Fields:
    """The same, of what the broker that was asked found no fault with."""
    return await alter_all(broker, request, _changes, replace=True)


def _changes(resource: Any) -> list[Change]:
    return [Change(config.name, config.value) for config in resource.configs]
