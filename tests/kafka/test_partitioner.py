"""
Which partition a key gets, against what Java's partitioner does.

`murmur2_vectors.txt` comes from `PrintPartitions.java`, run against kafka-clients 4.4.0; its first
lines have the command. `@n` stands for n bytes of which the i-th is 31 * i.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.kafka.partitioner import murmur2, partition_for_key


def read_vectors() -> list[tuple[bytes, int, int, int]]:
    """Key, hash as Java's signed int, partition of 3 and of 1000003."""
    vectors = []
    for line in Path(__file__).with_name("murmur2_vectors.txt").read_text().splitlines()[1:]:
        key, *numbers = line.split()
        vectors.append((decode(key), *map(int, numbers)))
    return vectors  # type: ignore[return-value] # three numbers a line


def decode(key: str) -> bytes:
    """See above."""
    if key.startswith("@"):
        return bytes(31 * at & 0xFF for at in range(int(key[1:])))
    return b"" if key == "-" else bytes.fromhex(key)


VECTORS = read_vectors()


def test_the_vectors_have_every_length_up_to_70() -> None:
    """A remainder of 0, 1, 2 and 3 bytes is hashed differently: none is left out."""
    assert {len(key) for key, *_ in VECTORS} >= set(range(71))


@pytest.mark.parametrize(("key", "digest", "of_3", "of_many"), VECTORS)
def test_a_key_gets_the_partition_that_java_gives_it(
    key: bytes, digest: int, of_3: int, of_many: int
) -> None:
    """Hash and partition are Java's, also the second time, from the cache."""
    assert murmur2(key) == digest & 0xFFFFFFFF
    for _ in range(2):
        assert partition_for_key(key, 3) == of_3
        assert partition_for_key(key, 1_000_003) == of_many
    assert partition_for_key(key, 1) == 0
