"""
Budgets in front of what can grow (house rule 5), and the reading of a body within them.

aiokafka has no `buffer.memory`: bytes are reserved before they are read and given back when nothing
of them can be written any more.
"""

from __future__ import annotations

from starlette.types import Receive, Scope

from proxy.errors import ApiError, Overloaded

# What is reserved at a time for a body that does not say its length.
STEP_BYTES = 64 * 1024

_CODINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}


class ClientGone(Exception):
    """
    The client closed the connection before its request was complete; there is nobody to answer.
    """


class Budget:
    """So many bytes for the whole process."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def reserve(self, count: int) -> None:
        """Raises Overloaded when there are not so many left."""
        if self.used_bytes + count > self.limit_bytes:
            raise Overloaded("Too many bytes are on their way to Kafka.")
        self.used_bytes += count

    def release(self, count: int) -> None:
        """Give back what was reserved."""
        self.used_bytes -= count


class Reservation:
    """The bytes of one request; `release` may be called twice."""

    __slots__ = ("_budget", "_count")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0

    def grow(self, count: int) -> None:
        """Raises Overloaded; what was reserved before stays."""
        self._budget.reserve(count)
        self._count += count

    def release(self) -> None:
        """Give everything back."""
        self._budget.release(self._count)
        self._count = 0


async def read_body(
    receive: Receive, content_length: bytes | None, limit_bytes: int, reservation: Reservation
) -> bytes:
    """
    The whole body, reserved before it is read.

    Raises: ApiError 413; Overloaded; ClientGone
    """
    if content_length is not None:
        declared = int(content_length)
        if declared > limit_bytes:
            raise _too_large(limit_bytes)
        reservation.grow(declared)
        message = await receive()
        if message["type"] == "http.request" and not message["more_body"]:
            body: bytes = message["body"]
            return body
        return await _read_rest(receive, message, limit_bytes, None)
    reservation.grow(STEP_BYTES)
    return await _read_rest(receive, await receive(), limit_bytes, reservation)


async def _read_rest(
    receive: Receive, message: object, limit_bytes: int, reservation: Reservation | None
) -> bytes:
    chunks = []
    size = 0
    reserved = STEP_BYTES
    while True:
        if not isinstance(message, dict) or message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        while reservation is not None and size > reserved:
            reservation.grow(STEP_BYTES)
            reserved += STEP_BYTES
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header field of that lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            field: bytes = value
            return field
    return None


def joined_header(scope: Scope, name: bytes) -> str | None:
    """
    All fields of that name as one, as RFC 9110 section 5.3 joins them; None where there is none.
    """
    fields = [value for key, value in scope["headers"] if key == name]
    return b", ".join(fields).decode("latin-1") if fields else None


def check_codings(scope: Scope) -> None:
    """
    Refuse a body that is compressed, by either of the two fields that may say so.

    Raises: ApiError 415
    """
    for name, value in scope["headers"]:
        accepted = _CODINGS.get(name)
        if accepted is not None and value.strip().lower() != accepted:
            given = f"{name.decode().title()} {value[:100].decode('latin-1')!a}"
            raise ApiError(415, f"{given}: not supported here. Accepted is: {accepted.decode()}")


def _too_large(limit_bytes: int) -> ApiError:
    return ApiError(413, f"The request body is larger than the limit of {limit_bytes} bytes.")
