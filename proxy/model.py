"""
The nouns that every room shares. `kafka/` speaks bytes, `wire/` speaks JSON; both speak these.

A noun that is made once per record is a `msgspec.Struct` (a third of a dataclass's cost), the rest
are frozen dataclasses. None means Kafka null everywhere; `b""`, `0` and `""` are values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

Header = tuple[str, bytes | None]


class Format(StrEnum):
    """How keys and values are embedded in JSON. Source: CONTRACT.md section 1."""

    BINARY = "binary"
    JSON = "json"
    TEXT = "text"


class TopicPartition(NamedTuple):
    """Equal to, and hashed as, aiokafka's tuple of the same name."""

    topic: str
    partition: int


class OutgoingRecord(msgspec.Struct, gc=False):
    """
    A record to produce. `partition` None: chosen by key, or in rotation; `timestamp_ms` None: now.
    """

    key: bytes | None
    value: bytes | None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: Sequence[Header] = ()


class StoredRecord(Protocol):
    """A record as read from Kafka; aiokafka's `ConsumerRecord` is one. `timestamp` is epoch ms."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[Header]: ...


class Produced(msgspec.Struct, gc=False):
    """What became of one record: an offset, or the failure; `offset` None on failure."""

    partition: int | None
    offset: int | None
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Replica:
    broker: int
    leader: bool
    in_sync: bool


@dataclass(frozen=True, slots=True)
class Partition:
    """`leader` is -1 while there is none."""

    partition: int
    leader: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    internal: bool
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """`offset` is Kafka's stored value, the next one to read; -1 where nothing is committed."""

    topic: str
    partition: int
    offset: int
    metadata: str
