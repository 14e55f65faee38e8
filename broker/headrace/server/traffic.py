"""What was produced and fetched, by topic, as plain integers."""


class TopicTraffic:
    """Mutable: counted for every batch. Field names are those of Kafka's BrokerTopicMetrics."""

    __slots__ = (
        "bytesin",
        "bytesout",
        "failedfetchrequests",
        "failedproducerequests",
        "messagesin",
    )

    def __init__(self) -> None:
        self.bytesin = 0
        self.bytesout = 0
        self.messagesin = 0
        self.failedproducerequests = 0
        self.failedfetchrequests = 0


class Traffic:
    """By topic; a deleted topic's counts go with it."""

    __slots__ = ("topics",)

    def __init__(self) -> None:
        self.topics: dict[str, TopicTraffic] = {}

    def of(self, topic: str) -> TopicTraffic:
        """The counts of an existing topic; made when it is first asked for."""
        counts = self.topics.get(topic)
        if counts is None:
            counts = self.topics[topic] = TopicTraffic()
        return counts

    def forget(self, topic: str) -> None:
        self.topics.pop(topic, None)
