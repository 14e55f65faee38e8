"""The cluster-wide settings of the brokers beside those of spec.config. Pure.

The operator keeps all of them: one that the spec does not have is reset.
"""

from collections.abc import Mapping

from headrace.config.key import SettingError
from headrace.config.table import broker_keys

from headrace_operator.plan.cluster_actions import AlterBrokerDefaults


def plan_defaults(
    wanted: Mapping[str, str], live: Mapping[str, str] | None
) -> AlterBrokerDefaults | None:
    """The change to make; None where there is none or no broker told what is set."""
    if live is None:
        return None
    set_to = {k: v for k, v in wanted.items() if k not in live or not _same(k, v, live[k])}
    reset = frozenset(live) - frozenset(wanted)
    return AlterBrokerDefaults(set_to=set_to, reset=reset) if set_to or reset else None


def _same(name: str, one: str, other: str) -> bool:
    """Whether two texts mean the same value: "1e3" and "1000.0", "TRUE" and "true"."""
    try:
        key = broker_keys()[name]
        return one == other or key.parse(one) == key.parse(other)
    except (KeyError, SettingError):
        return False
