"""
Offsets and positions of a consumer instance: commit, look up, seek.

Rule 1: what a client commits is the last offset that it processed (`ProcessedOffset`); what Kafka
        stores, and what a look up gives, is the next one to read (`CommittedOffset`).

Source: CONTRACT.md section 4; Confluent `K/v2/KafkaConsumerState.java`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from proxy.errors import ApiError
from proxy.model import CommittedOffset, TopicPartition
from proxy.wire.consumers import PartitionNumber
from proxy.wire.json_body import SPACE, decode
from proxy.wire.json_text import quote
from proxy.wire.parameters import MAX_OFFSET, check_topic_name
from proxy.wire.timestamps import parse_timestamp

# What is stored is one more: -1 (nothing processed yet) gives 0, and the sum must stay an int64.
_LastProcessed = Annotated[int, msgspec.Meta(ge=-1, le=MAX_OFFSET - 1)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]


@dataclass(frozen=True, slots=True)
class ProcessedOffset:
    """A commit as a client words it: the last offset that it has processed."""

    topic: str
    partition: int
    last_processed: int
    metadata: str = ""

    def as_committed(self) -> CommittedOffset:
        """The same as Kafka stores it."""
        return CommittedOffset(self.topic, self.partition, self.last_processed + 1, self.metadata)


@dataclass(frozen=True, slots=True)
class Seek:
    """Where to go on reading: offsets, and times in epoch ms, each for its partition."""

    offsets: tuple[tuple[TopicPartition, int], ...]
    timestamps: tuple[tuple[TopicPartition, int], ...]


class _CommitEntry(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    partition: PartitionNumber
    offset: _LastProcessed
    metadata: str | None = None


class _Commit(msgspec.Struct, forbid_unknown_fields=True):
    offsets: list[_CommitEntry] | None = None
    partitions: list[_CommitEntry] | None = None


class _OffsetEntry(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    partition: PartitionNumber
    offset: _Offset
    metadata: str | None = None  # Confluent knows it here, without use


class _TimestampEntry(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    partition: PartitionNumber
    timestamp: _Offset | str
    metadata: str | None = None


class _Seek(msgspec.Struct, forbid_unknown_fields=True):
    offsets: list[_OffsetEntry] | None = None
    timestamps: list[_TimestampEntry] | None = None


_commit_decoder = msgspec.json.Decoder(_Commit | None)
_seek_decoder = msgspec.json.Decoder(_Seek)


def parse_commit(body: bytes) -> tuple[ProcessedOffset, ...] | None:
    """
    The offsets to commit, or None for all that was delivered; an empty list commits nothing.

    Shape: nothing, {}, {"offsets": […]} or {"partitions": […]} of {"topic", "partition", "offset",
    "metadata"?}
    Raises: ApiError 400 on malformed JSON; 422 with the JSON path; 40002 on an illegal topic name
    """
    if not body.strip(SPACE):
        return None
    request, _ = decode(body, _commit_decoder)
    if request is None:
        return None
    if request.offsets is not None and request.partitions is not None:
        raise ApiError(422, "$: 'offsets' and 'partitions' mean the same, give one of them")
    entries = request.partitions if request.offsets is None else request.offsets
    if entries is None:
        return None
    return tuple(
        ProcessedOffset(
            check_topic_name(entry.topic),
            entry.partition,
            entry.offset,
            "" if entry.metadata is None else entry.metadata,
        )
        for entry in entries
    )


def parse_seek(body: bytes) -> Seek:
    """
    The positions to take, in the order given.

    Shape: {"offsets": [{"topic", "partition", "offset"}], "timestamps": [{"topic", "partition",
    "timestamp"}]}, one or both
    Units: timestamp in ms since the epoch, or RFC 3339
    Raises: ApiError 400 on malformed JSON; 422 with the JSON path; 40002 on an illegal topic name
    """
    request, _ = decode(body, _seek_decoder)
    if request.offsets is None and request.timestamps is None:
        raise ApiError(422, "$.offsets: missing, and no timestamps either")
    return Seek(
        tuple(
            (TopicPartition(check_topic_name(entry.topic), entry.partition), entry.offset)
            for entry in request.offsets or ()
        ),
        tuple(
            (
                TopicPartition(check_topic_name(entry.topic), entry.partition),
                parse_timestamp(entry.timestamp, f"$.timestamps[{at}].timestamp"),
            )
            for at, entry in enumerate(request.timestamps or ())
        ),
    )


def render_committed(offsets: Iterable[CommittedOffset]) -> bytes:
    """
    Committed offsets as Kafka stores them, -1 for none, in the order given.

    Shape: {"offsets": [{"topic", "partition", "offset", "metadata"}]}
    """
    return b'{"offsets":[%b]}' % b",".join(
        b'{"topic":%b,"partition":%d,"offset":%d,"metadata":%b}'
        % (quote(entry.topic), entry.partition, entry.offset, quote(entry.metadata))
        for entry in offsets
    )
