"""What can go wrong between this client and a cluster, each a sentence for a person.

`BrokerRefused` carries the broker's code, so a caller decides on `code`, never on the text.
"""

from headrace.base.errors import Code


class ClientError(Exception):
    """Anything this client reports: what happened, where, and what to do about it."""


class Unreachable(ClientError):
    """No broker answers at any of the addresses that were tried."""


class NoSuchBroker(Unreachable):
    """The cluster is there, but no broker of that number is in it now."""


class ConnectionLost(ClientError):
    """The connection ended while requests were waiting; whether they were done is unknown."""


class RequestTimedOut(ClientError):
    """No answer within the time given; whether the request was done is unknown."""


class Incompatible(ClientError):
    """The broker and this client share no version of a request."""


class BrokerRefused(ClientError):
    """The broker answered with an error code. `message` is the reason, if it is known better."""

    def __init__(self, code: Code, what: str, message: str | None = None) -> None:
        self.code = code
        self.what = what
        reason = message or in_words(code, None)
        super().__init__(f"{what}: {code.name}" + (f" ({reason})" if reason else ""))


class RecordsRefused(BrokerRefused):
    """The broker refused a batch of a producer's.

    `first` is the place of its first record among all that the producer was given, from 0;
    `count` is how many records it has.
    """

    def __init__(self, code: Code, what: str, message: str | None, first: int, count: int) -> None:
        super().__init__(code, what, message)
        self.first = first
        self.count = count


def code_of(number: int) -> Code:
    """The code of a response's number; a number newer than our table is the unknown error."""
    try:
        return Code(int(number))
    except ValueError:
        return Code.UNKNOWN_SERVER_ERROR


def check(number: int, what: str, message: str | None = None) -> None:
    """Raise `BrokerRefused` unless `number` is NONE. `what` says what was asked, and of what."""
    if number:
        code = code_of(number)
        raise BrokerRefused(code, what, in_words(code, message))


def in_words(code: Code, message: str | None) -> str:
    """Why, in the broker's words or else in ours, and what to do about it where we know."""
    reason = message or _REASONS.get(code, "")
    return "; ".join(part.rstrip(".") for part in (reason, _CURES.get(code, "")) if part)


_REASONS = {
    Code.UNKNOWN_TOPIC_OR_PARTITION: "no such topic or partition",
    Code.TOPIC_ALREADY_EXISTS: "there is a topic of that name already",
    Code.MESSAGE_TOO_LARGE: "larger than the topic's max.message.bytes",
    Code.GROUP_ID_NOT_FOUND: "no such group",
    Code.NON_EMPTY_GROUP: "the group has members",
    Code.INVALID_GROUP_ID: "a group's name is at least one character",
    Code.OFFSET_OUT_OF_RANGE: "no record has that offset",
    Code.NOT_ENOUGH_REPLICAS: "fewer replicas are in sync than min.insync.replicas",
    Code.INVALID_TOPIC_EXCEPTION: "a topic's name is 1 to 249 letters, digits, '.', '_' or '-',"
    " but not '.' or '..'",
    Code.INVALID_REPLICATION_FACTOR: "the cluster has fewer brokers than replicas were asked for",
    Code.KAFKA_STORAGE_ERROR: "the broker's disk is full or failing: its log says which",
}
"""For answers without a message."""

_CURES = {
    Code.UNKNOWN_TOPIC_OR_PARTITION: "`headrace topic list` shows the topics,"
    " `headrace topic create` makes one",
    Code.MESSAGE_TOO_LARGE: "`headrace topic alter TOPIC --set max.message.bytes=N` lets it take"
    " more",
    Code.GROUP_ID_NOT_FOUND: "`headrace group list` shows the groups",
    Code.NON_EMPTY_GROUP: "stop its consumers first, `headrace group describe GROUP` shows them",
    Code.OFFSET_OUT_OF_RANGE: "`headrace topic describe TOPIC` shows the first and the last",
}
