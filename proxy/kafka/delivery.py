"""
One produce request on its way: its records, what became of each, and when that must be told.

Answered and settled are two moments. At the deadline the request is answered with what is known,
while records that are with a broker may still be written; it is settled when nothing of it can
happen any more, and only then gives its bytes back to the budget (rule 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from proxy.errors import NotWritten, OutcomeUnknown
from proxy.model import OutgoingRecord, Produced


class Parcel:
    """
    The records of one request for one partition; `places` says where each stood in the request.
    """

    __slots__ = ("delivery", "partition", "places", "records", "taken")

    def __init__(self, delivery: Delivery, partition: int) -> None:
        self.delivery = delivery
        self.partition = partition
        self.records: list[OutgoingRecord] = []
        self.places: list[int] = []
        # How many of them have left the lane, from the first on.
        self.taken = 0


class Delivery:
    """
    Shared by the parcels of a request. `answered` is done when every record's outcome may be told.
    """

    __slots__ = ("_on_settled", "_timer", "_unsettled", "answered", "outcomes", "parcels")

    def __init__(
        self, records: int, timeout_s: float, on_settled: Callable[[], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.outcomes: list[Produced | None] = [None] * records
        self.answered: asyncio.Future[None] = loop.create_future()
        self.parcels: list[Parcel] = []
        self._unsettled = records
        self._on_settled = on_settled
        self._timer = loop.call_later(timeout_s, self.expire)

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

    def _settle(self, records: int) -> None:
        self._unsettled -= records
        if self._unsettled > 0:
            return
        self._timer.cancel()
        if not self.answered.done():
            self.answered.set_result(None)
        if self._on_settled is not None:
            self._on_settled()

    def expire(self) -> None:
        """
        The deadline, or the end of a lane: what is still in a lane is withdrawn, what has left it
        has an unknown outcome.
        """
        late = OutcomeUnknown("The deadline passed; whether the record was written is unknown.")
        for parcel in self.parcels:
            for place in parcel.places[: parcel.taken]:
                if self.outcomes[place] is None:
                    self.outcomes[place] = Produced(parcel.partition, None, late)
        withdrawn = self._withdraw()
        if not self.answered.done():
            self.answered.set_result(None)
        self._settle(withdrawn)

    def _withdraw(self) -> int:
        """Take what is still in a lane out of it; how many records that were."""
        failure = NotWritten("The deadline passed before the record could be sent.")
        withdrawn = 0
        for parcel in self.parcels:
            waiting = parcel.places[parcel.taken :]
            parcel.taken = len(parcel.records)
            withdrawn += len(waiting)
            for place in waiting:
                self.outcomes[place] = Produced(parcel.partition, None, failure)
        return withdrawn
