"""The resource types of DescribeConfigs and its kin (KIP-133), and what a resource may be named."""

from typing import Final

from headrace.base.errors import Code, Refusal

TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32


def check_node(name: str, node_id: int, what: str, or_else: str = "") -> Refusal | None:
    """Why `name` is not this broker's id; `what` is the word for it in the sentence."""
    try:
        number = int(name)
    except ValueError:
        return Refusal(Code.INVALID_REQUEST, f"{what} must be an integer, but it is: {name}")
    if number == node_id:
        return None
    return Refusal(
        Code.INVALID_REQUEST,
        f"Unexpected broker id, expected {node_id}{or_else}, but received {name}",
    )
