"""spec.config, told apart: what stands in a broker's file, and what is set live for all brokers.

Settings that only a start reads are static: they are part of the pod's hash, and changing one
restarts the brokers one after another. All others are cluster-wide defaults of the brokers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.config.key import SettingError, Update
from headrace.config.table import broker_keys, broker_settings, canonical

from headrace_operator.build.problem import CannotBuild
from headrace_operator.crd.cluster import RESERVED_SETTINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """spec.config by canonical key."""

    static: Mapping[str, str]
    dynamic: Mapping[str, str]


def split(config: Mapping[str, str]) -> Settings:
    """Tell static from dynamic settings. Raises CannotBuild with the first that may not stand."""
    try:
        given = canonical(sorted(config.items()))
        broker_settings(given)
    except SettingError as error:
        raise CannotBuild("InvalidConfig", f"spec.config: {error} Nothing is restarted.") from None
    for name, text in given.items():
        if name in RESERVED_SETTINGS or name.startswith("etcd."):
            raise CannotBuild(
                "InvalidConfig",
                f"spec.config: {name} is set by the operator itself; take it out.",
            )
        if "\n" in text or "\r" in text or text.endswith("\\"):
            raise CannotBuild(
                "InvalidConfig",
                f"spec.config: {name} holds a line break or ends in a backslash, which a"
                " settings file cannot hold; write it in one line.",
            )
    live = {n for n in given if broker_keys()[n].update is Update.CLUSTER_WIDE}
    return Settings(
        static={n: t for n, t in given.items() if n not in live},
        dynamic={n: t for n, t in given.items() if n in live},
    )


def properties(values: Mapping[str, str]) -> str:
    """A settings file of those values."""
    return "".join(f"{name}={text}\n" for name, text in values.items())
