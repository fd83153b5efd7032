"""
A batch that was handed to a producer, and the requests that have records in it.

It ends in one of four ways: written, failed, put back into its lane, or, record by record, some of
each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from proxy.errors import KafkaFailure, NotWritten
from proxy.kafka.attempts import Batch
from proxy.kafka.delivery import Parcel
from proxy.kafka.producers import Generation


class Share(NamedTuple):
    """The part of a batch that came from one parcel: its records `first` to before `stop`."""

    parcel: Parcel
    first: int
    stop: int

    @property
    def places(self) -> list[int]:
        return self.parcel.places[self.first : self.stop]


class Flight(NamedTuple):
    """Its records are those of the shares, in this order."""

    generation: Generation
    batch: Batch
    shares: list[Share]

    def has(self, parcel: Parcel) -> bool:
        """Whether some of its records are the parcel's."""
        return any(share.parcel is parcel for share in self.shares)

    def written(self, partition: int, base_offset: int | None) -> None:
        """All are in the log, one after the other; None where Kafka told no offset."""
        for share in self.shares:
            share.parcel.delivery.written(share.places, partition, base_offset)
            if base_offset is not None:
                base_offset += share.stop - share.first

    def failed(self, partition: int, failure: Exception) -> None:
        """None will be tried again."""
        for share in self.shares:
            share.parcel.delivery.failed(share.places, partition, failure)

    def told_failures(self, failure: Exception) -> dict[int, Exception]:
        """What the broker said of single records, by their index; nothing where it did not."""
        if not isinstance(failure, KafkaFailure):
            return {}
        return {
            index: KafkaFailure(
                failure.code,
                failure.name,
                retriable=False,
                # Kafka's "offset" there is the index in a batch that its sender knows nothing of.
                message=text.replace(f" of message with offset {index}", ""),
            )
            for index, text in self.batch.record_errors.items()
            if 0 <= index < self.batch.records
        }

    def put_back(self, queue: deque[Parcel], failures: Mapping[int, Exception]) -> None:
        """
        Surely nothing is written: all go back to the head of the queue, in order, but for those
        whose time is up and those that have failed, by their index in the batch.
        """
        end = sum(share.stop - share.first for share in self.shares)
        for parcel, first, stop in reversed(self.shares):
            begin = end - (stop - first)
            if parcel.delivery.answered.done():
                parcel.delivery.failed(parcel.places[first:stop], None, NotWritten())
            else:
                parcel.taken = first
                for index in range(end - 1, begin - 1, -1):
                    if index in failures:
                        place = parcel.remove(first + index - begin)
                        parcel.delivery.failed((place,), parcel.partition, failures[index])
                if not queue or queue[0] is not parcel:
                    queue.appendleft(parcel)
            end = begin
