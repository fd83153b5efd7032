"""
Which partition a record goes to, as Java's default partitioner decides.

Keyed: murmur2 of the key, sign bit cleared, modulo the number of partitions. Bit-identical to
Java's, so that a key lands where every other client of the topic expects it. Keyless: the caller's
rotation.
Source: org.apache.kafka.common.utils.Utils.murmur2, BuiltInPartitioner.partitionForKey.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

SEED = 0x9747B28C
M = 0x5BD1E995
MASK = 0xFFFFFFFF

# Above this a key is hashed each time: the cache would hold on to too many bytes.
CACHED_KEY_BYTES = 256
PIECE_WORDS = 4096


def partition_for_key(key: bytes, partitions: int) -> int:
    """The partition of `key` in a topic of so many partitions."""
    digest = _cached_murmur2(key) if len(key) <= CACHED_KEY_BYTES else murmur2(key)
    return partition_for_hash(digest, partitions)


def partition_for_hash(digest: int, partitions: int) -> int:
    """The partition of a key with that `murmur2`."""
    return (digest & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """MurmurHash2 of `key`, unsigned 32 bit. Costs about 0.1 us per 4 bytes."""
    length = len(key)
    words = length // 4
    h = SEED ^ length
    # In pieces: as Python's integers a long key's words take ten times its size.
    for first in range(0, words, PIECE_WORDS):
        for k in unpack_from(f"<{min(PIECE_WORDS, words - first)}I", key, 4 * first):
            k = (k * M) & MASK
            h = ((h * M) & MASK) ^ (((k ^ (k >> 24)) * M) & MASK)
    tail = key[words * 4 :]
    if tail:
        h = ((h ^ int.from_bytes(tail, "little")) * M) & MASK
    h = ((h ^ (h >> 13)) * M) & MASK
    return h ^ (h >> 15)


_cached_murmur2 = lru_cache(maxsize=16384)(murmur2)
