"""AlterConfigs v0-v2. Behaviour: replaces all dynamic settings of a topic or of brokers, what is
not named goes back to its default. IncrementalAlterConfigs is the one to use.

Skipped: AlterConfigs knows no settings of groups and of client metrics.
"""

from typing import TYPE_CHECKING, Any

from headrace.core.overrides import Change
from headrace.server.alter_configs import alter_resource, refuse_twice
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Replace each resource's settings, or only say whether it could be done."""
    twice = refuse_twice(request.resources)
    responses = []
    for resource in request.resources:
        kind, name = resource.resource_type, resource.resource_name
        changes = [Change(config.name, config.value) for config in resource.configs]
        refusal = twice.get((kind, name)) or await alter_resource(
            broker, kind, name, changes, replace=True, validate_only=request.validate_only
        )
        responses.append({"resource_type": kind, "resource_name": name, **outcome(refusal)})
    return {"responses": responses}
