"""UpdateFeatures v0-v2. Behaviour: all updates are made or none (KIP-584); v1+ says which kind of
downgrade is meant and can validate only (KIP-778).

Skipped: UpdateFeatures knows Headrace's own feature headrace.format and none of Kafka's.
"""

from typing import TYPE_CHECKING, Any

from headrace.core.features import SAFE_DOWNGRADE, UPGRADE, FeatureUpdate
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_ONE_ANSWER_FOR_ALL = 2


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Finalize feature levels."""
    updates = [
        FeatureUpdate(
            name=update.feature,
            level=update.max_version_level,
            upgrade_type=_upgrade_type(update),
        )
        for update in request.feature_updates
    ]
    last = {update.name: update for update in updates}
    refusal = await broker.controller.update_features(
        list(last.values()), validate_only=getattr(request, "validate_only", False)
    )
    fields: dict[str, Any] = {**outcome(refusal)}
    if context.api_version < _ONE_ANSWER_FOR_ALL:
        fields["results"] = [] if refusal else [{"feature": name, **outcome(None)} for name in last]
    return fields


def _upgrade_type(update: Any) -> int:
    if hasattr(update, "upgrade_type"):
        return int(update.upgrade_type)
    return SAFE_DOWNGRADE if update.allow_downgrade else UPGRADE
