"""/metrics in Prometheus' text format, under the names existing dashboards read.

The names are those that Strimzi's JMX rules give to Kafka's MBeans, and kafka_exporter's and
kafka-lag-exporter's for lag. Everything is kept as plain integers where it happens and turned
to text here, in slices that give the loop back every few hundred lines: prometheus_client
takes 100 ms for 20,000 series (design.md, decision 19).
"""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

from headrace.server.metric_lines import Family, line
from headrace.server.quota_metrics import quota_lines
from headrace.wire.versions import APIS, FETCH, PRODUCE

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_SLICE_LINES = 200
"""About 0.3 ms of the loop."""


async def render(broker: "Broker") -> AsyncIterator[str]:
    """The whole page in chunks."""
    chunk: list[str] = []
    for text in _lines(broker):
        chunk.append(text)
        if len(chunk) >= _SLICE_LINES:
            yield "".join(chunk)
            chunk.clear()
            await asyncio.sleep(0)
    yield "".join(chunk)


def _lines(broker: "Broker") -> Iterator[str]:
    yield from _process(broker)
    yield from _server(broker)
    yield from _cleaner(broker)
    yield from _requests(broker)
    yield from quota_lines(broker.quotas, broker.clock.monotonic_ms())
    yield from _topics(broker)
    yield from _partitions(broker)
    yield from broker.group_metrics()


def _process(broker: "Broker") -> Iterable[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    yield Family("process_cpu_seconds_total", "counter", "CPU time used.").head()
    yield line("process_cpu_seconds_total", usage.ru_utime + usage.ru_stime)
    yield Family("process_resident_memory_bytes", "gauge", "Resident memory.").head()
    yield line("process_resident_memory_bytes", resident)
    yield Family("process_open_fds", "gauge", "Open file descriptors.").head()
    yield line("process_open_fds", len(os.listdir("/proc/self/fd")))
    yield Family("process_max_fds", "gauge", "Limit of open file descriptors.").head()
    yield line("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield Family(
        "headrace_loop_stall_seconds_max", "gauge", "Longest stall of the loop in the last minute."
    ).head()
    yield line("headrace_loop_stall_seconds_max", broker.loop_watch.worst_seconds())


def _server(broker: "Broker") -> Iterable[str]:
    partitions = list(broker.partitions)
    offline = sum(1 for partition in partitions if partition.failure is not None)
    led = [p.replica for p in partitions if p.replica.is_leader]
    under = sum(1 for replica in led if len(replica.isr) < len(replica.replicas))
    below = sum(1 for replica in led if len(replica.isr) < replica.min_insync_replicas)
    image = broker.metadata.image
    controller = 1 if image.controller_id == broker.node_id else 0
    for name, value, doc in (
        ("kafka_server_replicamanager_leadercount", len(led), "Partitions led here."),
        ("kafka_server_replicamanager_partitioncount", len(partitions), "Partitions held here."),
        ("kafka_server_replicamanager_underreplicatedpartitions", under, "Led, not fully in sync."),
        ("kafka_server_replicamanager_underminisrpartitioncount", below, "Below min.insync."),
        ("kafka_controller_kafkacontroller_activecontrollercount", controller, "Controller here."),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", offline, "Cannot be served."),
        (
            "kafka_log_logmanager_offlinelogdirectorycount",
            1 if offline else 0,
            "Data folders that failed.",
        ),
        ("kafka_brokers", len(image.brokers), "Registered brokers."),
        (
            "headrace_metadata_age_seconds",
            broker.metadata.age_seconds(),
            "Since the metadata store last answered.",
        ),
    ):
        yield Family(name, "gauge", doc).head()
        yield line(name, value)
    name = "kafka_server_socket_server_metrics_connection_count"
    yield Family(name, "gauge", "Open connections.").head()
    for listener in broker.listeners:
        yield line(name, len(listener.connections), listener=listener.name)
    yield Family("kafka_broker_info", "gauge", "A broker and its address.").head()
    for broker_id, state in sorted(image.brokers.items()):
        for endpoint in state.endpoints[:1]:
            yield line(
                "kafka_broker_info", 1, id=broker_id, address=f"{endpoint.host}:{endpoint.port}"
            )
    name = "kafka_log_logflushstats_logflushes_total"
    yield Family(name, "counter", "Logs synced to the device.").head()
    yield line(name, broker.flusher.flushes)
    name = "headrace_log_flush_seconds_total"
    yield Family(name, "counter", "Seconds spent syncing logs.").head()
    yield line(name, broker.flusher.flush_seconds)
    name = "headrace_log_damaged_reads_total"
    yield Family(name, "counter", "Reads that met damage in a log.").head()
    yield line(name, broker.partitions.damage.reads)
    name = "headrace_log_cut_bytes_total"
    yield Family(name, "counter", "Bytes that recovery took from the ends of logs.").head()
    yield line(name, broker.partitions.damage.cut_bytes)


def _cleaner(broker: "Broker") -> Iterable[str]:
    cleaner = broker.cleaner
    percent = round(100 * cleaner.max_dirty_ratio)
    name = "kafka_log_logcleanermanager_max_dirty_percent"
    yield Family(name, "gauge", "Dirtiest log, percent of its bytes.").head()
    yield line(name, percent)
    name = "kafka_log_logcleanermanager_uncleanable_partitions_count"
    yield Family(name, "gauge", "Logs that cannot be compacted.").head()
    yield line(name, len(cleaner.uncleanable))
    name = "headrace_cleaner_uncleanable_info"
    yield Family(name, "gauge", "A log that cannot be compacted, and why.").head()
    for partition, why in sorted(cleaner.uncleanable.items()):
        yield line(name, 1, partition=partition, reason=why)
    for name, value, doc in (
        ("headrace_cleaner_passes_total", cleaner.passes, "Compactions finished."),
        ("headrace_cleaner_bytes_before_total", cleaner.bytes_before, "Bytes compacted."),
        ("headrace_cleaner_bytes_after_total", cleaner.bytes_after, "Bytes left of them."),
    ):
        yield Family(name, "counter", doc).head()
        yield line(name, value)


def _requests(broker: "Broker") -> Iterable[str]:
    counts = broker.requests
    name = "kafka_network_requestmetrics_requests_total"
    yield Family(name, "counter", "Requests by API.").head()
    for key, api in APIS.items():
        yield line(name, counts.requests[key], request=api.name)
    name = "kafka_network_requestmetrics_errors_total"
    yield Family(name, "counter", "Errors answered by API and Kafka error.").head()
    for (key, code), number in sorted(counts.errors.items()):
        yield line(name, number, request=APIS[key].name, error=counts.error_name(code))


def _topics(broker: "Broker") -> Iterable[str]:
    traffic = broker.traffic
    totals = {
        "totalproducerequests": broker.requests.requests[PRODUCE],
        "totalfetchrequests": broker.requests.requests[FETCH],
    }
    for field, total in totals.items():
        name = f"kafka_server_brokertopicmetrics_{field}_total"
        yield Family(name, "counter", "Requests.").head()
        yield line(name, total)
    for field, doc in (
        ("bytesin", "Bytes of records produced."),
        ("bytesout", "Bytes of records fetched."),
        ("messagesin", "Records produced."),
        ("failedproducerequests", "Partitions of produce requests that failed."),
        ("failedfetchrequests", "Partitions of fetch requests that failed."),
    ):
        name = f"kafka_server_brokertopicmetrics_{field}_total"
        yield Family(name, "counter", doc).head()
        total = 0
        for topic, counts in sorted(traffic.topics.items()):
            value = getattr(counts, field)
            total += value
            yield line(name, value, topic=topic)
        yield line(name, total)


_PARTITION_FAMILIES = (
    Family("kafka_log_log_size", "gauge", "Bytes of the log."),
    Family("kafka_log_log_logstartoffset", "gauge", "First offset of the log."),
    Family("kafka_log_log_logendoffset", "gauge", "Offset of the next record."),
    Family("kafka_log_log_numlogsegments", "gauge", "Segments of the log."),
    Family("kafka_topic_partition_current_offset", "gauge", "High watermark."),
    Family("kafka_topic_partition_oldest_offset", "gauge", "First offset of the log."),
    Family("kafka_topic_partition_leader", "gauge", "Leader of the partition."),
    Family("kafka_topic_partition_replicas", "gauge", "Replicas of the partition."),
    Family("kafka_topic_partition_in_sync_replica", "gauge", "In-sync replicas."),
    Family("kafka_topic_partition_leader_is_preferred", "gauge", "1: the first replica leads."),
    Family("kafka_topic_partition_under_replicated_partition", "gauge", "1: not all in sync."),
    Family("kafka_cluster_partition_underminisr", "gauge", "1 where below min.insync.replicas."),
    Family("kafka_cluster_partition_atminisr", "gauge", "1 where at min.insync.replicas."),
)


def _partitions(broker: "Broker") -> Iterator[str]:
    name = "kafka_topic_partitions"
    yield Family(name, "gauge", "Partitions of the topic.").head()
    for topic in broker.metadata.image.topics.values():
        yield line(name, len(topic.partitions), topic=topic.name)
    partitions = sorted(broker.partitions, key=lambda p: (p.topic, p.index))
    for number, family in enumerate(_PARTITION_FAMILIES):
        yield family.head()
        for p in partitions:
            log, replica = p.log, p.replica
            replicas, isr = len(replica.replicas), len(replica.isr)
            value = (
                log.size_bytes,
                log.log_start_offset,
                log.log_end_offset,
                len(log.segments),
                replica.high_watermark,
                log.log_start_offset,
                replica.leader,
                replicas,
                isr,
                int(replica.leader == (replica.replicas or (-1,))[0]),
                int(isr < replicas),
                int(isr < replica.min_insync_replicas),
                int(isr == replica.min_insync_replicas),
            )[number]
            yield f'{family.name}{{topic="{p.topic}",partition="{p.index}"}} {value}\n'
