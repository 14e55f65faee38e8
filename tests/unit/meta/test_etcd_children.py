"""A process that speaks to etcd starts others: gRPC lets them be."""

import subprocess
import sys

SCRIPT = """
import asyncio, subprocess
from headrace.meta.etcd.member import grpc

async def main():
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        calls = [asyncio.ensure_future(channel.unary_unary("/a/b")(b"")) for _ in range(8)]
        for _ in range(10):
            await asyncio.sleep(0.001)
            # What has something to do before its exec is forked, with all that others hung on that.
            subprocess.run(["true"], check=True, preexec_fn=lambda: None)
        await asyncio.gather(*calls, return_exceptions=True)

asyncio.run(main())
"""


def test_children_are_started_while_grpc_is_busy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
