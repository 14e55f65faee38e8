"""Transcripts of groups: what members say above the line, what follows below it.

`REWRITE=1 pytest tests/scenarios/test_groups.py` writes what happens now; read the diff as prose.
Commands: join NAME, sync NAME [NAME=ASSIGNMENT...], beat NAME, leave NAME..., commit NAME|-
TOPIC-PARTITION=OFFSET, fetch TOPIC-PARTITION, forget NAME (it restarts without its id), wait MS,
hold, release, refuse CODE|-, restart. NAME is an instance id where it begins with "static".
"""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.groups.offsets import NO_TOPIC_ID, FetchTopic
from headrace.wire.offsets_topic import GroupKey

from tests.groups import Driver, subscription

FOLDER = Path(__file__).parent / "groups"
LINE = "----"


class Transcript:
    """Runs commands and says what each leads to."""

    def __init__(self, settings: dict[str, int]) -> None:
        self.driver = Driver(BrokerSettings(**settings))
        self.ids: dict[str, str] = {}
        self.generations: dict[str, int] = {}
        self.asked: dict[int, tuple[str, str]] = {}
        self.said = 0
        self.written = 0

    def run(self, command: str) -> str:
        name, *words = shlex.split(command)
        lines = getattr(self, f"do_{name}")(*words) or []
        return "\n".join([*lines, *self._log(), *self._answers(), self._state()])

    def do_join(self, name: str, *options: str) -> None:
        chosen = dict(option.split("=") for option in options)
        protocols = chosen.get("protocols", "range").split(",")
        token = self.driver.join(
            self.ids.get(name, ""),
            client=name,
            instance=self._instance(name),
            version=int(chosen.get("version", 9)),
            protocols=tuple((p, subscription(chosen.get("topic", "t"))) for p in protocols),
        )
        self.asked[token] = (name, "join")

    def do_sync(self, name: str, *given: str) -> None:
        pairs = dict(word.split("=") for word in given)
        token = self.driver.sync(
            self.ids.get(name, ""),
            self.generations.get(name, -1),
            {self.ids[who]: what.encode() for who, what in pairs.items()},
            instance=self._instance(name),
        )
        self.asked[token] = (name, "sync")

    def do_beat(self, name: str) -> list[str]:
        code = self.driver.beat(
            self.ids.get(name, ""), self.generations.get(name, -1), instance=self._instance(name)
        )
        return [f"{name} beat: {code.name}"]

    def do_leave(self, *names: str) -> list[str]:
        token = self.driver.leave(*((self.ids.get(n, ""), self._instance(n)) for n in names))
        codes = [m["error_code"].name for m in self.driver.answers[token]["members"]]
        return [f"{name} leave: {code}" for name, code in zip(names, codes, strict=True)]

    def do_commit(self, name: str, what: str) -> list[str]:
        where, offset = what.split("=")
        topic, index = where.rsplit("-", 1)
        answer = self.driver.commit(
            {(topic, int(index)): int(offset)},
            member_id=self.ids.get(name, ""),
            generation=self.generations.get(name, -1),
            instance=self._instance(name),
        )
        if isinstance(answer, list):
            answer = answer[0]["partitions"][0]["error_code"]
        return [f"{name} commit: {'waits' if answer is None else Code(answer).name}"]

    def do_fetch(self, where: str) -> list[str]:
        topic, index = where.rsplit("-", 1)
        found = self.driver.shard.fetch("g", [FetchTopic(topic, NO_TOPIC_ID, [int(index)])])
        return [f"offset {found[0]['partitions'][0]['committed_offset']}"]

    def do_forget(self, name: str) -> None:
        self.ids.pop(name, None)

    def do_wait(self, ms: str) -> None:
        self.driver.wait(int(ms))

    def do_hold(self) -> None:
        self.driver.hold = True

    def do_release(self, code: str = "NONE") -> None:
        self.driver.hold = False
        self.driver.release(Code[code])

    def do_refuse(self, code: str) -> None:
        self.driver.refuse_writes = None if code == "-" else Code[code]

    def do_restart(self) -> None:
        self.driver.restart()

    def _instance(self, name: str) -> str | None:
        return name if name.startswith("static") else None

    def _answers(self) -> list[str]:
        lines = []
        for token in self.driver.order[self.said :]:
            if token in self.asked:
                lines.append(self._answer(*self.asked[token], self.driver.answers[token]))
        self.said = len(self.driver.order)
        return lines

    def _answer(self, name: str, what: str, answer: Any) -> str:
        code = answer if isinstance(answer, Code) else answer["error_code"]
        text = f"{name} {what}: {code.name}"
        if what == "join" and not isinstance(answer, Code):
            if answer["member_id"]:
                self.ids[name] = answer["member_id"]
                text += f" id={answer['member_id']}"
            if code is Code.NONE:
                self.generations[name] = answer["generation_id"]
                text += f" generation={answer['generation_id']} leader={answer['leader']}"
                text += f" protocol={answer['protocol_name']}"
                members = ",".join(m["member_id"] for m in answer["members"])
                text += f" members={members}" if members else ""
                text += " skip" if answer["skip_assignment"] else ""
        elif code is Code.NONE:
            text += f" {answer['assignment'].decode() or '(empty)'}"
        return text

    def _log(self) -> list[str]:
        lines = []
        for key, value in self.driver.log[self.written :]:
            record = self.driver.shard.decode(key, value)
            assert record is not None
            name, body = record
            if isinstance(name, GroupKey):
                text = "tombstone" if body is None else f"generation {body.generation}"
                if body is not None:
                    given = (f"{m.member_id}={m.assignment.decode()}" for m in body.members)
                    text = " ".join((text, *given))
                lines.append(f"log: group {text}")
            else:
                text = "tombstone" if body is None else str(body.offset)
                lines.append(f"log: offset {name.topic}-{name.partition} {text}")
        self.written = len(self.driver.log)
        return lines

    def _state(self) -> str:
        group = self.driver.shard.groups.get("g")
        if group is None:
            return "(no group)"
        members = ",".join(group.members) or "nobody"
        return f"{group.state.value} {group.generation_id}: {members}"


def parse(text: str) -> tuple[str, dict[str, int], list[tuple[str, str]]]:
    """The title, the settings, and (command, what follows) in order."""
    head, *blocks = text.strip().split("\n\n")
    title, *given = head.split("\n")
    settings = {"group_initial_rebalance_delay_ms": 0}
    for line in given:
        key, value = line.split("=")
        settings[key.replace(".", "_")] = int(value)
    steps = []
    for block in blocks:
        command, _, follows = block.partition(f"\n{LINE}\n")
        steps.append((command.removesuffix(f"\n{LINE}"), follows))
    return title, settings, steps


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda p: p.stem)
def test_transcript(path: Path) -> None:
    text = path.read_text()
    head = text.strip().split("\n\n")[0]
    _, settings, steps = parse(text)
    transcript = Transcript(settings)
    played = [f"{command}\n{LINE}\n{transcript.run(command)}" for command, _ in steps]
    now = "\n\n".join([head, *played]) + "\n"
    if os.environ.get("REWRITE"):
        path.write_text(now)
    assert now == text
