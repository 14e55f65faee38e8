"""The cleaner's niced child process, as the broker sees it: jobs in, groups and an ending out.

Starting a process stops the loop for milliseconds (fork) and costs a fifth of a second of a
core (imports), so one child does jobs one after another, and goes when it has had none for a
while.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from headrace.storage.cleaner import Cleaned, CleanJob
from headrace.storage.cleaner_process import COMMAND, Ending, decode_answer, encode_job

_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
_IDLE_S: Final = 60.0
"""Four looks at the default log.cleaner.backoff.ms; then its memory is given back."""


class CleanerChild:
    """Owned by the event loop; one job at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def clean(
        self, job: CleanJob, bytes_per_second: float, swap_in: Callable[[Cleaned], bool]
    ) -> Ending:
        """Run one job: `swap_in` is called for each group once its files are written, and ends
        the job by False. Raises OSError where no process can be started."""
        if self._idle is not None:
            self._idle.cancel()
        ending: Ending | None = None
        try:
            ending = await self._do(job, bytes_per_second, swap_in)
            return ending
        finally:
            if ending is None or ending.how in ("changed", "crashed"):
                await self.close()  # It is in the middle of something.
            else:
                self._idle = self._loop.call_later(_IDLE_S, self._end_idle)

    async def _do(
        self, job: CleanJob, bytes_per_second: float, swap_in: Callable[[Cleaned], bool]
    ) -> Ending:
        process = self._process = self._process or await self._start()
        if process.stdin is None or process.stdout is None:
            return Ending("crashed", "it has no pipes")
        try:
            process.stdin.write(encode_job(job, bytes_per_second))
            await process.stdin.drain()
            while line := await process.stdout.readline():
                answer = decode_answer(line)
                if isinstance(answer, Ending):
                    return answer
                if not swap_in(answer):
                    return Ending("changed", "the log changed during the pass")
        except ConnectionError:
            pass  # Its status says more.
        return Ending("crashed", f"the child process ended with status {await process.wait()}")

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *COMMAND, stdin=pipe, stdout=pipe, limit=_ANSWER_BYTES_MAX
        )

    def _end_idle(self) -> None:
        self._ending = self._loop.create_task(self.close())

    async def close(self) -> None:
        """End the process, also in the middle of a job. Idempotent."""
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
