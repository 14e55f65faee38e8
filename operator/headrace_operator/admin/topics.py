"""Requests about topics, many topics each: look, create, grow, delete. Raises ClientError."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.client.admin import BROKER_DEFAULT
from headrace.client.cluster import Cluster
from headrace.client.metadata import Topic, read_metadata
from headrace.wire.versions import CREATE_PARTITIONS, CREATE_TOPICS, DELETE_TOPICS, METADATA

from headrace_operator.admin.outcome import refusal_of
from headrace_operator.admin.settings import TOPIC, describe_settings
from headrace_operator.plan.topic import UNKNOWN_ID, CreateTopic, GrowTopic, LiveTopic

LOOK: Final = "look"
"""The lane of requests that only read: they do not wait behind a long CreateTopics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicQuestion:
    """A topic to look at, and the settings of it that matter."""

    name: str
    settings: frozenset[str]


async def describe_topics(
    cluster: Cluster, questions: Sequence[TopicQuestion]
) -> list[LiveTopic | Refusal | None]:
    """Each topic as it is; None where there is none. One or two requests for all of them."""
    fields = {
        "topics": [{"topic_id": None, "name": q.name} for q in questions],
        "allow_auto_topic_creation": False,
        "include_topic_authorized_operations": False,
    }
    topics = read_metadata(await cluster.request(METADATA, fields, lane=LOOK)).topics
    asked = {q.name: q.settings for q in questions if q.settings and not topics[q.name].code}
    settings = await describe_settings(cluster, TOPIC, asked, lane=LOOK) if asked else {}
    return [_read(topics[q.name], settings.get(q.name, {})) for q in questions]


def _read(topic: Topic, settings: Mapping[str, str] | Refusal) -> LiveTopic | Refusal | None:
    if topic.code is Code.UNKNOWN_TOPIC_OR_PARTITION:
        return None
    if topic.code is not Code.NONE:
        return refusal_of(topic.code, None)
    if isinstance(settings, Refusal):
        gone = settings.code is Code.UNKNOWN_TOPIC_OR_PARTITION
        return None if gone else settings
    return LiveTopic(
        topic_id=topic.topic_id or UNKNOWN_ID,
        partitions=len(topic.partitions),
        replication_factor=len(topic.partitions[0].replicas) if topic.partitions else 0,
        internal=topic.internal,
        settings=settings,
    )


async def create_topics(
    cluster: Cluster, wanted: Sequence[CreateTopic]
) -> list[LiveTopic | Refusal]:
    """Make each topic; what the brokers made of it, or why they did not."""
    fields = {
        "topics": [
            {
                "name": topic.name,
                "num_partitions": topic.partitions,
                "replication_factor": BROKER_DEFAULT,
                "assignments": [],
                "configs": [{"name": k, "value": v} for k, v in topic.config.items()],
            }
            for topic in wanted
        ],
        "timeout_ms": cluster.request_timeout_ms,
        "validate_only": False,
    }
    answer = await cluster.request(CREATE_TOPICS, fields)
    by_name = {topic.name: topic for topic in answer.topics}
    return [_created(topic, by_name.get(topic.name)) for topic in wanted]


def _created(wanted: CreateTopic, answer: Any) -> LiveTopic | Refusal:
    if answer is None:
        return _unanswered(wanted.name)
    refusal = refusal_of(answer.error_code, answer.error_message)
    if refusal is not None:
        return refusal
    return LiveTopic(
        topic_id=getattr(answer, "topic_id", None) or UNKNOWN_ID,
        partitions=wanted.partitions,
        replication_factor=max(getattr(answer, "replication_factor", 1), 1),
        settings=wanted.config,
    )


async def grow_topics(cluster: Cluster, wanted: Sequence[GrowTopic]) -> list[Refusal | None]:
    """Give each topic more partitions."""
    fields = {
        "topics": [
            {"name": topic.name, "count": topic.partitions, "assignments": None} for topic in wanted
        ],
        "timeout_ms": cluster.request_timeout_ms,
        "validate_only": False,
    }
    answer = await cluster.request(CREATE_PARTITIONS, fields)
    by_name = {result.name: result for result in answer.results}
    return [_outcome(topic.name, by_name.get(topic.name)) for topic in wanted]


async def delete_topics(cluster: Cluster, topic_ids: Sequence[UUID]) -> list[Refusal | None]:
    """Delete each topic by id. One that is gone already is no refusal."""
    fields = {
        "topics": [{"name": None, "topic_id": topic_id} for topic_id in topic_ids],
        "timeout_ms": cluster.request_timeout_ms,
    }
    answer = await cluster.request(DELETE_TOPICS, fields)
    by_id = {result.topic_id: result for result in answer.responses}
    outcomes = [_outcome(str(topic_id), by_id.get(topic_id)) for topic_id in topic_ids]
    return [None if o is not None and o.code is Code.UNKNOWN_TOPIC_ID else o for o in outcomes]


def _outcome(name: str, answer: Any) -> Refusal | None:
    if answer is None:
        return _unanswered(name)
    return refusal_of(answer.error_code, getattr(answer, "error_message", None))


def _unanswered(name: str) -> Refusal:
    return Refusal(Code.UNKNOWN_SERVER_ERROR, f"the broker's answer does not speak of {name!r}")
