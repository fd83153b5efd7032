"""
aiokafka's group coordinator without two faults of its own.

Rule 1: a member joins once for each rebalance. aiokafka joins once for each assignor that it
offers, with one more of them each time: two make every rebalance two, of two generations, and a
group whose members are at different points of that may choose an assignor that some did not offer.
Rule 2: a coordinator that cannot say now is not one that knows of no offset. aiokafka looks for the
error at each partition, where OffsetFetch v2 and later has it once for all, and would begin anew.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiokafka.errors as kafka
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import JoinGroupRequest

COORDINATOR_MOVED = (
    kafka.GroupCoordinatorNotAvailableError,
    kafka.NotCoordinatorForGroupError,
)


class CarefulCoordinator(GroupCoordinator):
    """Never made: aiokafka's own is made one, by `make_careful`."""

    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, JoinGroupRequest) and len(request._group_protocols) < len(
            self._assignors
        ):
            # Its answer is looked at for an error alone: the next one offers what this one did.
            return SimpleNamespace(error_code=0)
        send: Any = super()._send_req
        response: Any = await send(request)
        code = getattr(response, "error_code", 0)
        if isinstance(request, OffsetFetchRequest) and code != 0:
            error = kafka.for_code(code)
            if issubclass(error, COORDINATOR_MOVED):
                forget: Any = self.coordinator_dead
                forget()
            raise error(self.group_id)
        return response


def make_careful(consumer: Any) -> None:
    """Give a consumer that has just started this coordinator."""
    consumer._coordinator.__class__ = CarefulCoordinator
