"""Who is limited and throttled, and by how much, in lines of /metrics.

The throttle times stand under the names of Kafka's MBeans, as dashboards read them; what Kafka
has no name for is Headrace's own. A client chooses its id, so only the first of each kind of
quota are shown: those that were throttled longest, and then those that used most.
"""

from collections.abc import Callable, Iterator
from heapq import nlargest
from typing import Final

from headrace.core.quota_meter import Meter, Meters
from headrace.core.quotas import CONNECTION
from headrace.server.metric_lines import Family, line
from headrace.server.quotas import Quotas

SHOWN_MAX: Final = 100
"""Clients shown of each kind of quota: 2,500 lines at most."""

_FAMILIES: Final[tuple[tuple[Family, Callable[[Meter], float]], ...]] = (
    (
        Family("headrace_quota_limit", "gauge", "The limit, a second."),
        lambda meter: meter.limit,
    ),
    (
        Family("headrace_quota_used_total", "counter", "What was used, in the quota's unit."),
        lambda meter: meter.used,
    ),
    (
        Family("headrace_quota_throttled_total", "counter", "Answers that told to wait."),
        lambda meter: meter.throttled,
    ),
    (
        Family("headrace_quota_throttle_seconds_total", "counter", "Seconds told to wait."),
        lambda meter: meter.throttled_ms / 1000,
    ),
)


def quota_lines(quotas: Quotas, now_ms: int) -> Iterator[str]:
    """All of it; nothing but heads while there are no quotas."""
    shown = {meters.quota: _foremost(meters) for meters in quotas.all()}
    for quota, foremost in shown.items():
        if quota is CONNECTION:
            continue
        name = f"kafka_server_{quota.name}_throttle_time"
        yield Family(name, "gauge", "Mean milliseconds told to wait, lately.").head()
        for meter in foremost:
            user, client_id = meter.who
            yield line(name, meter.recent_throttle_ms(now_ms), user=user, client_id=client_id)
    for family, value in _FAMILIES:
        yield family.head()
        for quota, foremost in shown.items():
            for meter in foremost:
                user, name = meter.who
                named = {"ip": name} if quota is CONNECTION else {"user": user, "client_id": name}
                yield line(family.name, value(meter), quota=quota.name, **named)
    name = "headrace_quota_clients"
    yield Family(name, "gauge", "Clients counted now, shown here or not.").head()
    for meters in quotas.all():
        yield line(name, len(meters), quota=meters.quota.name)


def _foremost(meters: Meters) -> list[Meter]:
    return nlargest(SHOWN_MAX, meters, key=lambda meter: (meter.throttled_ms, meter.used))
