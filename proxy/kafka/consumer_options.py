"""What a consumer instance is made with, and what one fetch asks of it."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config import Settings
from proxy.kafka.cluster import Cluster
from proxy.kafka.connection import Connection
from proxy.kafka.topics import Topics
from proxy.model import Format


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """
    What a client may say of an instance when it makes it.

    `request_timeout_ms` None: as the settings say. The formats are the client's alone, nothing of
    them is told to Kafka.
    """

    auto_offset_reset: str = "earliest"
    auto_commit: bool = False
    isolation_level: str = "read_uncommitted"
    fetch_min_bytes: int = 1
    request_timeout_ms: int | None = None
    key_format: Format = Format.BINARY
    value_format: Format = Format.BINARY


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """
    When and with how much a fetch answers. Bytes are those of keys and values.

    `min_bytes` -1: wait for the whole time, or until `max_bytes` are there. Source: Confluent's
    default.
    """

    timeout_s: float
    min_bytes: int
    max_bytes: int
    max_records: int


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """What every instance shares."""

    connection: Connection
    cluster: Cluster
    topics: Topics
    settings: Settings
