"""An immutable mapping whose copies share structure, so that a change costs O(changed).

Keys are spread over a fixed number of small dicts; setting a key copies one of them and the
tuple that holds them (n / 256 + 256 references), not the n others. Iteration is in sorted
bucket order of a hash that is the same in every process, so simulations repeat.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar
from zlib import crc32

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BUCKETS = 256


class PersistentMap(Mapping[K, V], Generic[K, V]):
    """A mapping with `set` and `remove` that return new mappings."""

    __slots__ = ("_buckets", "_size")

    def __init__(self) -> None:
        self._buckets: tuple[dict[K, V] | None, ...] = (None,) * _BUCKETS
        self._size = 0

    def __getitem__(self, key: K) -> V:
        bucket = self._buckets[_bucket_of(key)]
        if bucket is None:
            raise KeyError(key)
        return bucket[key]

    def __iter__(self) -> Iterator[K]:
        for bucket in self._buckets:
            if bucket:
                yield from bucket

    def __len__(self) -> int:
        return self._size

    def changed_since(self, old: "PersistentMap[K, V]") -> Iterator[K]:
        """The keys whose value is not the very object that it was, new and gone ones included.

        Costs O(changed) where this mapping was made from `old`, for they share what is the same.
        """
        for before, after in zip(old._buckets, self._buckets, strict=True):
            if before is after:
                continue
            was, now = before or {}, after or {}
            for key, value in now.items():
                if key not in was or was[key] is not value:
                    yield key
            yield from (key for key in was if key not in now)

    def set(self, key: K, value: V) -> "PersistentMap[K, V]":
        """This mapping with `key` bound to `value`."""
        bucket = dict(self._buckets[_bucket_of(key)] or {})
        grown = key not in bucket
        bucket[key] = value
        return self._with(key, bucket, self._size + grown)

    def remove(self, key: K) -> "PersistentMap[K, V]":
        """This mapping without `key`; itself where the key is absent."""
        if key not in self:
            return self
        bucket = dict(self._buckets[_bucket_of(key)] or {})
        del bucket[key]
        return self._with(key, bucket, self._size - 1)

    def _with(self, key: K, bucket: dict[K, V], size: int) -> "PersistentMap[K, V]":
        index = _bucket_of(key)
        changed: PersistentMap[K, V] = PersistentMap()
        changed._buckets = (*self._buckets[:index], bucket, *self._buckets[index + 1 :])
        changed._size = size
        return changed


def _bucket_of(key: Hashable) -> int:
    """Not hash(): its seed differs between processes, and iteration order must not."""
    return crc32(repr(key).encode()) & (_BUCKETS - 1)
