"""End-to-end latency at a fixed rate, from the moment a message was due to be sent.

Each message carries that moment, so whatever delays the sender counts too and a stalled broker
cannot thin out the sample (no coordinated omission). Runs as a process of its own:
`python -m tests.bench.latency_probe '{"bootstrap": ..., "topic": ..., "rate": ..., ...}'`.
"""

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from e2e.kafka.jars import ROOT
from tests.bench.arena import Void
from tests.bench.rounds import percentile

MESSAGE_BYTES = 100
WARM_UP_S = 1.0
PATIENCE_S = 20.0


def probe(bootstrap: str, topic: str, rate: int, seconds: float) -> Mapping[str, float]:
    """Runs the probe against an empty topic; gives p50_ms, p99_ms, p999_ms, max_ms.

    rate: messages a second; seconds: counted, after a warm-up at the same rate
    Raises Void with the probe's words if a message failed or went missing.
    """
    order = {"bootstrap": bootstrap, "topic": topic, "rate": rate, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.latency_probe", json.dumps(order)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=seconds + WARM_UP_S + 3 * PATIENCE_S,
    )
    if done.returncode != 0:
        raise Void(f"the latency probe failed: {done.stderr[-500:]}")
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


class _Probe:
    def __init__(self, bootstrap: str, topic: str, rate: int, seconds: float) -> None:
        self.topic, self.rate = topic, rate
        self.skipped = int(rate * WARM_UP_S)
        self.total = self.skipped + int(rate * seconds)
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "latency-probe",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 500,
                "fetch.min.bytes": 1,
            }
        )

    def run(self) -> Mapping[str, float]:
        # One message first: connections and metadata are not what is measured.
        self.producer.produce(self.topic, b"first", on_delivery=self.delivered)
        self.producer.flush(PATIENCE_S)
        self.consumer.assign([TopicPartition(self.topic, 0, 0)])
        if self.receive() != b"first":
            raise SystemExit("the first message did not arrive")
        reader = threading.Thread(target=self.read)
        reader.start()
        self.send()
        left = self.producer.flush(PATIENCE_S)
        reader.join()
        self.consumer.close()
        if left or self.failures or len(self.latencies) != self.total:
            raise SystemExit(
                f"{len(self.latencies)} of {self.total} messages arrived, {left} were not "
                f"acknowledged, errors: {self.failures[:3]}"
            )
        found = sorted(self.latencies[self.skipped :])
        shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
        return {name: percentile(found, share) * 1e3 for name, share in shares.items()}

    def send(self) -> None:
        padding = b"x" * (MESSAGE_BYTES - 20)
        begin = time.perf_counter()
        for number in range(self.total):
            due = begin + number / self.rate
            ahead = due - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            self.producer.produce(
                self.topic, b"%020.9f" % due + padding, on_delivery=self.delivered
            )
            self.producer.poll(0)

    def read(self) -> None:
        while len(self.latencies) < self.total:
            value = self.receive()
            if value is None:
                return
            self.latencies.append(time.perf_counter() - float(value[:20]))

    def receive(self) -> bytes | None:
        message = self.consumer.poll(PATIENCE_S)
        if message is None or message.error() is not None:
            self.failures.append("nothing came" if message is None else str(message.error()))
            return None
        return message.value()

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failures.append(str(error))


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(_Probe(**json.loads(sys.argv[1])).run()))
