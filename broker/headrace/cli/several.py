"""Deleting several things by name: all are tried, and what failed is told together."""

from collections.abc import Awaitable, Callable, Sequence

from headrace.cli.fault import Failure
from headrace.client.errors import ClientError


async def delete_each(names: Sequence[str], delete: Callable[[str], Awaitable[None]]) -> None:
    """Raises ClientError of the only one, Failure of several."""
    deleted: list[str] = []
    failed: list[str] = []
    for name in names:
        try:
            await delete(name)
            deleted.append(name)
        except ClientError as error:
            if len(names) == 1:
                raise
            failed.append(str(error))
    if failed:
        done = f" Deleted: {', '.join(deleted)}." if deleted else ""
        raise Failure(f"{'; '.join(failed)}.{done}", code="PARTLY_FAILED")
