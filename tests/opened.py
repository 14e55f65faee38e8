"""A client's batch opened in one go, as the broker opens it in turns (server/batch_opening.py)."""

from headrace.base.errors import Code, Refusal
from headrace.wire import records
from typing_extensions import Buffer


def validate(batch: Buffer, *, keys_required: bool) -> Refusal | None:
    """Why its records are refused, or None."""
    try:
        header, payload = records.unpack(batch)
    except records.CorruptRecords as fault:
        return Refusal(Code.CORRUPT_MESSAGE, str(fault))
    found = records.check(payload, header.record_count, keys_required=keys_required)
    return next((refusal for refusal in found if refusal is not None), None)


def recompress(batch: Buffer, codec: int) -> bytearray | Refusal:
    """The batch with its records in another codec."""
    try:
        header, payload = records.unpack(batch)
    except records.CorruptRecords as fault:
        return Refusal(Code.CORRUPT_MESSAGE, str(fault))
    return records.seal_batch(header, payload, codec)
