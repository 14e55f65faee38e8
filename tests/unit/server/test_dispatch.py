"""A bug in a handler costs its peer the connection and us a line; never more, never less."""

from pathlib import Path
from typing import Any

import pytest
from headrace.server.connection import Connection
from headrace.server.partitions import Partitions
from headrace.wire.versions import PRODUCE

from tests.bench.frames import make_batch, produce_frame
from tests.unit.server.admin_rig import running


class Peer:
    """What a dispatcher needs of a connection."""

    peer_host = "127.0.0.1"

    def __init__(self) -> None:
        self.closed = 0

    def close(self, reason: str | None = None) -> None:
        self.closed += 1


async def test_a_bug_on_the_hot_path_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("a bug of ours")

    frame = memoryview(bytes(produce_frame("t", make_batch(100, 1 << 10)).data))[4:]
    async with running(tmp_path) as rig:
        await rig.create("t")
        monkeypatch.setattr(Partitions, "find", broken)
        peer = Peer()
        connection: Connection = peer  # type: ignore[assignment]
        assert rig.broker.dispatcher.execute(connection, frame, "PLAINTEXT") is None
        assert peer.closed == 1
        assert rig.broker.requests.errors[PRODUCE, -1] == 1
    assert "a bug of ours" in capsys.readouterr().out
