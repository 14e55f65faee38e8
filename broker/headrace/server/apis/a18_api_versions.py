"""ApiVersions v0-v4. Behaviour: lists what is served, finalized features (KIP-584); an unknown
version is answered in v0 with UNSUPPORTED_VERSION by the dispatcher (KIP-511); a malformed
client name or version gets INVALID_REQUEST. Not done: nothing.

Skipped: Produce v0-v2 are advertised (KAFKA-18659) and answered with UNSUPPORTED_VERSION.
"""

import re
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core import features
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.versions import APIS, ENVELOPE

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")

_FOR_BROKERS = [
    {"api_key": api.key, "min_version": api.advertised_from, "max_version": api.max_version}
    for api in APIS.values()
]
_FOR_CLIENTS = [listed for listed in _FOR_BROKERS if listed["api_key"] != ENVELOPE]


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """What this broker speaks."""
    if context.api_version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return {"error_code": Code.INVALID_REQUEST, "api_keys": []}
    image = broker.metadata.image
    return {
        "error_code": Code.NONE,
        "api_keys": _FOR_BROKERS
        if broker.forwarding.advertises(context.listener)
        else _FOR_CLIENTS,
        "supported_features": [
            {"name": name, "min_version": low, "max_version": high}
            for name, (low, high) in sorted(features.SUPPORTED.items())
        ],
        "finalized_features_epoch": image.revision,
        "finalized_features": [
            {"name": name, "max_version_level": level, "min_version_level": level}
            for name, level in sorted(image.features.items())
        ],
    }
