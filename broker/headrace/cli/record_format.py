"""How `consume` writes a record: value, key-value, json, or a pattern like '%o %k %v'.

The pattern's letters are kcat's (%s is the value as well) and rpk's.
"""

import re
from collections.abc import Callable
from typing import Final

from headrace.cli.json_records import write_record
from headrace.wire.records import Record

Formatter = Callable[[Record, str, int], bytes]
"""(record, topic, partition) -> the bytes to write, line end included."""

LETTERS: Final = {
    "v": "the value",
    "s": "the value",
    "k": "the key",
    "o": "the offset",
    "p": "the partition",
    "t": "the topic",
    "T": "the timestamp in ms",
    "h": "the headers, name=value with commas",
    "S": "the value's length, -1 for none",
    "K": "the key's length, -1 for none",
    "%": "a percent sign",
}

_PART = re.compile(r"%(.?)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\"}


def formatter(form: str) -> Formatter:
    """The formatter of a name or a pattern. Raises ValueError(sentence)."""
    if form == "value":
        return lambda record, _topic, _partition: (record.value or b"") + b"\n"
    if form == "key-value":
        return lambda r, _topic, _partition: (r.key or b"") + b"\t" + (r.value or b"") + b"\n"
    if form == "json":
        return write_record
    if "%" not in form:
        raise ValueError(
            f"{form!r} is neither value, key-value or json nor a pattern like '%o %k %v'"
        )
    return _pattern(form)


def _pattern(form: str) -> Formatter:
    text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), form)
    if not text.endswith(("\n", "\0")):
        text += "\n"
    pieces: list[bytes | str] = []
    position = 0
    for match in _PART.finditer(text):
        if match[1] not in LETTERS:
            known = ", ".join(f"%{letter}" for letter in LETTERS)
            raise ValueError(f"%{match[1]} stands for nothing; known are {known}")
        pieces.append(text[position : match.start()].encode())
        pieces.append(match[1])
        position = match.end()
    pieces.append(text[position:].encode())

    def write(record: Record, topic: str, partition: int) -> bytes:
        return b"".join(
            piece if isinstance(piece, bytes) else _field(piece, record, topic, partition)
            for piece in pieces
        )

    return write


def _field(letter: str, record: Record, topic: str, partition: int) -> bytes:
    if letter in "vs":
        return record.value or b""
    if letter == "k":
        return record.key or b""
    if letter == "h":
        return b",".join(h.key.encode() + b"=" + (h.value or b"") for h in record.headers)
    if letter == "S":
        return b"-1" if record.value is None else b"%d" % len(record.value)
    if letter == "K":
        return b"-1" if record.key is None else b"%d" % len(record.key)
    plain = {"o": record.offset, "p": partition, "t": topic, "T": record.timestamp, "%": "%"}
    return str(plain[letter]).encode()
