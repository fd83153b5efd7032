"""
The one place where an exception becomes an answer, and a Kafka code an HTTP code.

A code divided by 100 is the HTTP status, but for two. 40801 is 422, as 408 would make clients and
balancers repeat the request for ever; 50003 is 503, as it can be tried again. Source: CONTRACT.md
sections 6 and 7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.types import Scope, Send

from proxy.api.limits import joined_header
from proxy.api.responses import respond
from proxy.errors import (
    ApiError,
    BrokersUnreachable,
    IllegalState,
    InstanceExists,
    KafkaFailure,
    NotWritten,
    OffsetOutOfRange,
    OutcomeUnknown,
    Overloaded,
    RecordTooLarge,
    UndecodableRecord,
    UnknownInstance,
    UnknownPartition,
    UnknownTopic,
)
from proxy.wire.errors import render_error, render_problem
from proxy.wire.media_types import PROBLEM_JSON, choose_error_type
from proxy.wire.records import UNDECODABLE, describe_undecodable

log = logging.getLogger(__name__)

STATUSES = {UNDECODABLE: 422, 50003: 503}
RETRY_AFTER_S = 1

# Kafka's code -> ours, where neither 50003 (retriable) nor 50002 (any other) says enough.
KAFKA_CODES: dict[int, int] = {
    1: 40002,  # OFFSET_OUT_OF_RANGE
    3: 40401,  # UNKNOWN_TOPIC_OR_PARTITION
    10: 41301,  # MESSAGE_TOO_LARGE
    12: 40002,  # OFFSET_METADATA_TOO_LARGE
    17: 40002,  # INVALID_TOPIC_EXCEPTION
    18: 41301,  # RECORD_LIST_TOO_LARGE
    23: 40903,  # INCONSISTENT_GROUP_PROTOCOL
    24: 40002,  # INVALID_GROUP_ID
    29: 40301,  # TOPIC_AUTHORIZATION_FAILED
    30: 40301,  # GROUP_AUTHORIZATION_FAILED
    31: 40301,  # CLUSTER_AUTHORIZATION_FAILED
    32: 40002,  # INVALID_TIMESTAMP
    44: 40002,  # POLICY_VIOLATION
    81: 40903,  # GROUP_MAX_SIZE_REACHED
    87: 40002,  # INVALID_RECORD
}

CODES: dict[type[Exception], int] = {
    BrokersUnreachable: 50302,
    IllegalState: 40903,
    InstanceExists: 40902,
    NotWritten: 50003,
    OffsetOutOfRange: 40002,
    OutcomeUnknown: 50401,
    Overloaded: 50304,
    RecordTooLarge: 41301,
    UndecodableRecord: UNDECODABLE,
    UnknownInstance: 40403,
    UnknownPartition: 40402,
    UnknownTopic: 40401,
}

MESSAGES: dict[type[Exception], Callable[[Any], str]] = {
    UndecodableRecord: describe_undecodable,
}


class Answer(NamedTuple):
    """An error as a client sees it."""

    status: int
    code: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def describe(exc: Exception) -> tuple[int, str]:
    """The code and message of a failure, as an entry of a produce answer shows them too."""
    if isinstance(exc, ApiError):
        return exc.code, exc.message
    if isinstance(exc, KafkaFailure):
        return _describe_kafka(exc)
    code = CODES.get(type(exc))
    if code is None:
        return 500, "Internal Server Error"
    return code, MESSAGES.get(type(exc), str)(exc)


def status_of(code: int) -> int:
    """The HTTP status that goes with a code."""
    return STATUSES.get(code, code if code < 1000 else code // 100)


def answer_for(exc: Exception) -> Answer:
    """What to answer for an exception."""
    code, message = describe(exc)
    status = status_of(code)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status in (429, 503):
        seconds = exc.retry_after_s if isinstance(exc, Overloaded) else RETRY_AFTER_S
        headers = ((b"retry-after", b"%d" % seconds),)
    return Answer(status, code, message, headers)


async def respond_error(scope: Scope, send: Send, exc: Exception) -> None:
    """
    Answer with the error, in the shape that the client accepts; what we did not foresee is logged.
    """
    answer = answer_for(exc)
    if answer.code == 500:
        log.error("unforeseen failure", exc_info=exc)
    body, content_type = shape_error(scope, answer)
    await respond(scope, send, answer.status, body, content_type, answer.headers + _more(exc))


def shape_error(scope: Scope, answer: Answer) -> tuple[bytes, str]:
    """The body of an error and its content type, in the shape that the client accepts."""
    content_type = choose_error_type(joined_header(scope, b"accept"))
    if content_type == PROBLEM_JSON:
        path = scope.get("raw_path", b"").decode("latin-1")
        return render_problem(answer.status, answer.code, answer.message, path), content_type
    return render_error(answer.code, answer.message), content_type


def _describe_kafka(failure: KafkaFailure) -> tuple[int, str]:
    code = KAFKA_CODES.get(failure.code)
    if code is None:
        code = 50003 if failure.retriable else 50002
    if failure.message.startswith(failure.name):
        return code, f"Kafka error: {failure.message}"
    return code, f"Kafka error: {failure.name}: {failure.message}"


def _more(exc: Exception) -> tuple[tuple[bytes, bytes], ...]:
    allowed = getattr(exc, "allowed_methods", None)
    return () if allowed is None else ((b"allow", allowed.encode()),)
