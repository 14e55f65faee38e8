"""Batches whose records are looked at: unpacked in a thread, checked a millisecond at a time.

In one go a batch holds the loop for seconds: zstd makes 400 KB of 300,000 records.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from headrace.base.errors import Code, Refusal
from headrace.server.record_policy import RecordPolicy
from headrace.wire import records
from headrace.wire.batch import CODEC_MASK, BatchHeader, read_batch_header

T = TypeVar("T")

_OPEN_MAX: Final = 4
"""Batches that are open at once; each may be 64 MiB (records.UNPACKED_BYTES_MAX)."""
_SLICE_S: Final = 0.001


class BatchOpening:
    """One for a broker."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_OPEN_MAX)

    async def open(self, policy: RecordPolicy, batch: bytearray) -> bytearray | Refusal:
        """The batch to store, or why it is refused: CORRUPT_MESSAGE, INVALID_RECORD and
        MESSAGE_TOO_LARGE. Its header must have been checked."""
        async with self._turns:
            header = read_batch_header(memoryview(batch), 0)
            try:
                payload = await _unpacked(batch, header)
            except records.CorruptRecords as fault:
                return Refusal(Code.CORRUPT_MESSAGE, str(fault))
            if policy.validates:
                refusal = await _check(payload, header.record_count, keyed=policy.keyed)
                if refusal is not None:
                    return refusal
            if not policy.repacks(header):
                return batch
            return await _in_thread(partial(policy.repack, header, payload))


async def _unpacked(batch: bytearray, header: BatchHeader) -> bytes:
    if header.attributes & CODEC_MASK:
        _, payload = await _in_thread(partial(records.unpack, batch))
    else:
        _, payload = records.unpack(batch)
    return payload


async def _check(payload: bytes, record_count: int, *, keyed: bool) -> Refusal | None:
    now = asyncio.get_running_loop().time
    until = now() + _SLICE_S
    for refusal in records.check(payload, record_count, keys_required=keyed):
        if refusal is not None:
            return refusal
        if now() > until:
            await asyncio.sleep(0)
            until = now() + _SLICE_S
    return None


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)
