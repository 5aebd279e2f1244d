"""Chooses the partition of an account's events: all share one, so that they have one order and one worker."""

from __future__ import annotations

from functools import lru_cache

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995


@lru_cache(maxsize=10_000)
def partition_of(account_id: str, partitions: int) -> int:
    """Returns the partition of an account's events.

    Source: Kafka's default partitioner, applied to the account id alone: toPositive(murmur2(bytes)) % partitions.
    """
    return (murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Returns the 32-bit hash as Kafka's Java client computes it, unsigned."""
    length = len(data)
    hashed = (0x9747B28C ^ length) & _MASK
    whole = length - length % 4
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        part = (part ^ part >> 24) * _MULTIPLIER & _MASK
        hashed = (hashed * _MULTIPLIER & _MASK) ^ part
    if rest := data[whole:]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _MASK
    return hashed ^ hashed >> 15
