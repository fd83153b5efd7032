"""
What an endpoint is: `async def endpoint(call) -> None`, four steps: parse, allow, do, answer.

`Call` is a request with its context, its path names decoded and its answer chosen; it is made for
each request that is not the hot produce path and holds nothing longer than that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from proxy.api.context import Context, context_of
from proxy.api.limits import Reservation, header, joined_header, read_body
from proxy.api.responses import respond
from proxy.wire.media_types import (
    V2,
    check_management_body_type,
    choose_management_type,
)
from proxy.wire.parameters import (
    Query,
    check_name,
    check_topic_name,
    decode_segment,
    parse_partition_number,
    parse_query,
)


@dataclass(slots=True)
class Call:
    """
    A request in our terms. `segments` are the path's names as they were sent, percent-encoded.
    """

    scope: Scope
    receive: Receive
    send: Send
    segments: dict[str, str]

    @property
    def context(self) -> Context:
        return context_of(self.scope)

    @property
    def accept(self) -> str | None:
        return joined_header(self.scope, b"accept")

    def query(self) -> Query:
        """The query. Raises ApiError 40002."""
        return parse_query(self.scope["query_string"])

    def topic(self) -> str:
        """The topic of the path. Raises ApiError 40002 where Kafka would not allow it."""
        return check_topic_name(decode_segment(self.segments["topic"], "topic_name"))

    def partition(self) -> int:
        """The partition of the path. Raises ApiError 40002."""
        return parse_partition_number(self.segments["partition"])

    def group(self) -> str:
        """The group of the path. Raises ApiError 40002."""
        return check_name(decode_segment(self.segments["group"], "group_name"), "group_name")

    def instance(self) -> str:
        """The instance of the path. Raises ApiError 40002."""
        return check_name(decode_segment(self.segments["instance"], "instance"), "instance")

    def negotiate(self) -> str:
        """The content type of a management answer. Raises ApiError 406."""
        return choose_management_type(self.accept)

    async def management_body(self) -> bytes:
        """The body of a POST that is not a produce. Raises ApiError 413 and 415; Overloaded."""
        content_type = header(self.scope, b"content-type")
        check_management_body_type(None if content_type is None else content_type.decode("latin-1"))
        return await self.body()

    async def body(self) -> bytes:
        """The body, whatever it is. Raises ApiError 413; Overloaded."""
        context = self.context
        reservation = Reservation(context.budget)
        try:
            return await read_body(
                self.receive,
                header(self.scope, b"content-length"),
                context.settings.max_body_bytes,
                reservation,
            )
        finally:
            # What is parsed from it is small: it holds names and numbers, no records.
            reservation.release()

    async def answer(self, body: bytes, content_type: str = V2, status: int = 200) -> None:
        """A whole answer."""
        await respond(self.scope, self.send, status, body, content_type)

    async def answer_nothing(self) -> None:
        """204."""
        await respond(self.scope, self.send, 204)


Endpoint = Callable[[Call], Awaitable[None]]
