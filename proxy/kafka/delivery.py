"""
One produce request on its way: its records, what became of each, and when that must be told.

Answered and settled are two moments. At the deadline the request is answered with what is known,
while records that are with a broker may still be written; it is settled when nothing of it can
happen any more, and only then gives its bytes back to the budget (house rule 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.errors import NotWritten, OutcomeUnknown
from proxy.model import OutgoingRecord, Produced


class Carrier(Protocol):
    """
    What a parcel is given to; `trouble` is why nothing leaves it just now.
    """

    trouble: Exception | None

    def recall(self, parcel: Parcel) -> None:
        """Take the parcel's records back if they have surely not been sent yet."""


class Parcel:
    """
    The records of one request for one partition; `places` says where each stood in the request.
    """

    __slots__ = ("carrier", "delivery", "partition", "places", "records", "taken")

    def __init__(self, delivery: Delivery, partition: int) -> None:
        self.carrier: Carrier | None = None
        self.delivery = delivery
        self.partition = partition
        self.records: list[OutgoingRecord] = []
        self.places: list[int] = []
        # How many of them have left the lane, from the first on.
        self.taken = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is left to be sent."""
        return self.taken >= len(self.places)

    def take_rest(self) -> list[int]:
        """Take out what has not left; the places of that. The others' places stay."""
        rest = self.places[self.taken :]
        del self.places[self.taken :]
        # Not needed again, and they are most of the memory.
        self.records = []
        return rest

    def remove(self, index: int) -> int:
        """Take one record out; its place."""
        del self.records[index]
        return self.places.pop(index)


class Delivery:
    """
    Shared by the parcels of a request. `answered` is done when every record's outcome may be told.

    deadline: of the loop's clock
    """

    __slots__ = ("_on_settled", "_timer", "_unsettled", "answered", "outcomes", "parcels")

    def __init__(
        self, records: int, deadline: float, on_settled: Callable[[], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.outcomes: list[Produced | None] = [None] * records
        self.answered: asyncio.Future[None] = loop.create_future()
        self.parcels: list[Parcel] = []
        self._unsettled = records
        self._on_settled = on_settled
        self._timer = loop.call_at(deadline, self.expire)

    def written(self, places: Sequence[int], partition: int, base_offset: int | None) -> None:
        """
        These records have consecutive offsets from `base_offset` on; None where Kafka told none.
        """
        outcomes = self.outcomes
        if not self.answered.done():
            for index, place in enumerate(places):
                offset = None if base_offset is None else base_offset + index
                outcomes[place] = Produced(partition, offset)
        self._settle(len(places))

    def failed(self, places: Sequence[int], partition: int | None, failure: Exception) -> None:
        """These records have not been written, or it is not known whether they were."""
        if not self.answered.done():
            for place in places:
                self.outcomes[place] = Produced(partition, None, failure)
        self._settle(len(places))

    def told(self) -> list[Produced]:
        """What became of each record, once it is answered."""
        return self.outcomes  # type: ignore[return-value] # none is None then

    def _settle(self, records: int) -> None:
        self._unsettled -= records
        if self._unsettled > 0:
            return
        self._timer.cancel()
        if not self.answered.done():
            self.answered.set_result(None)
        if self._on_settled is not None:
            self._on_settled()

    def expire(self, why: str = "The deadline passed") -> None:
        """
        What has surely not left is withdrawn, the rest has an unknown outcome: at the deadline, or
        at an earlier end, which `why` says.
        """
        late = OutcomeUnknown(f"{why}; whether the record was written is unknown.")
        withdrawn = 0
        for parcel in self.parcels:
            if parcel.carrier is not None:
                parcel.carrier.recall(parcel)
            withdrawn += self._withdraw(parcel, why)
            for place in parcel.places:
                if self.outcomes[place] is None:
                    self.outcomes[place] = Produced(parcel.partition, None, late)
        if not self.answered.done():
            self.answered.set_result(None)
        self._settle(withdrawn)

    def _withdraw(self, parcel: Parcel, why: str) -> int:
        trouble = None if parcel.carrier is None else parcel.carrier.trouble
        failure = trouble or NotWritten(f"{why} before the record could be sent.")
        rest = parcel.take_rest()
        for place in rest:
            self.outcomes[place] = Produced(parcel.partition, None, failure)
        return len(rest)
