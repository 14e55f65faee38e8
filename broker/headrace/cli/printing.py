"""Fetched records to standard output: whole batches of bare values at once, the rest one by one."""

from headrace.cli.record_format import Formatter
from headrace.cli.stdio import write_all
from headrace.cli.unterminated import NAME, NAME_BYTES
from headrace.client.fetched import Fetched, FetchedBatch


class Printer:
    """Writes until `limit` records are out (None: no limit).

    `values_only` says that `form` writes the value and a line end, which has the fast way.
    """

    def __init__(self, form: Formatter, *, values_only: bool, limit: int | None) -> None:
        self.count = 0
        self._form = form
        self._values_only = values_only
        self._limit = limit
        self._line_end_owed = False

    @property
    def full(self) -> bool:
        return self._limit is not None and self.count >= self._limit

    def print(self, fetched: Fetched) -> int:
        """Write what was fetched. Returns the offset to go on from. Raises BrokenPipeError."""
        out: list[bytes] = []
        next_offset = fetched.next_offset
        for batch in fetched.batches():
            if self._values_only and batch.whole and self._fits(batch.header.record_count):
                self._add_values(batch, fetched, out)
            else:
                next_offset = self._add_records(batch, fetched, out)
                if self.full:
                    break
        write_all(out)
        return next_offset if self.full else fetched.next_offset

    def _fits(self, count: int) -> bool:
        return self._limit is None or self.count + count <= self._limit

    def _add_values(self, batch: FetchedBatch, fetched: Fetched, out: list[bytes]) -> None:
        payload = batch.payload()
        if NAME_BYTES in payload:  # perhaps the mark, perhaps only text that is like it
            self._add_records(batch, fetched, out)
            return
        values = batch.values(payload)
        if not values:
            return
        self._pay_line_end(out)
        try:
            out.append(b"\n".join(values))  # type: ignore[arg-type]
        except TypeError:  # a value is None: a tombstone is shown as an empty line
            out.append(b"\n".join(value or b"" for value in values))
        out.append(b"\n")
        self.count += len(values)

    def _add_records(self, batch: FetchedBatch, fetched: Fetched, out: list[bytes]) -> int:
        """Returns the offset after the last record that was written."""
        next_offset = fetched.offset
        for record in batch.records():
            if record.offset < fetched.offset:
                continue
            if self.full:
                break
            self._pay_line_end(out)
            data = self._form(record, fetched.topic, fetched.partition)
            if self._values_only and any(header.key == NAME for header in record.headers):
                data = data[:-1]
                self._line_end_owed = True
            out.append(data)
            self.count += 1
            next_offset = record.offset + 1
        return next_offset

    def _pay_line_end(self, out: list[bytes]) -> None:
        if self._line_end_owed:
            out.append(b"\n")
            self._line_end_owed = False
