"""How a request to a cluster ends, as values: what was asked for, a Refusal, or Away."""

from dataclasses import dataclass

from headrace.base.errors import Code, Refusal


@dataclass(frozen=True, slots=True)
class Away:
    """No answer: whether the request was done is unknown. `message` says who did not answer."""

    message: str


Failure = Refusal | Away

_PASSING = frozenset({Code.TOPIC_ALREADY_EXISTS, Code.OPERATION_NOT_ATTEMPTED, Code.NOT_CONTROLLER})
"""Not retriable to Kafka's clients, but to us: the next look sees what is there by then."""


def passes(failure: Failure) -> bool:
    """Whether the same request may succeed later with nobody changing anything."""
    if isinstance(failure, Away):
        return True
    return failure.code.retriable or failure.code in _PASSING


def refusal_of(number: int, message: str | None) -> Refusal | None:
    """The refusal in an answer's code and message; None for NONE."""
    if not number:
        return None
    try:
        code = Code(int(number))
    except ValueError:
        code = Code.UNKNOWN_SERVER_ERROR
    return Refusal(code, message or f"the broker answered {code.name}")
