"""
The route table, and the way from a path to an endpoint.

Routing looks at the path as it was sent, percent-encoded: a group named `a/b` is `a%2Fb` there, and
stays one segment. A trailing slash is accepted everywhere. Order of refusal: no route 404, wrong
method 405, then the endpoint's own.

HEAD is GET without the body, which the server leaves out; but not of records, which it would wait
for, and a fetch use up. OPTIONS is answered with the methods that there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from proxy.api import health
from proxy.api.endpoint import Call, Endpoint
from proxy.api.openapi import docs_file, docs_page, openapi_json
from proxy.api.responses import respond
from proxy.api.v2 import consumers, records, topics
from proxy.api.v2.produce import produce
from proxy.errors import ApiError


class MethodNotAllowed(ApiError):
    """405 with the methods that the path has."""

    def __init__(self, methods: Iterable[str]) -> None:
        self.allowed_methods = ", ".join(methods)
        super().__init__(405, f"Method not allowed. Allowed here: {self.allowed_methods}")


class Found(NamedTuple):
    """An endpoint, its path's template for metrics, and the path's names as they were sent."""

    endpoint: Endpoint
    template: str
    segments: dict[str, str]


async def produce_to_topic(call: Call) -> None:
    """POST /topics/{topic}, when it did not take the short way in `app.py`."""
    await produce(call.scope, call.receive, call.send, call.segments["topic"], None)


async def produce_to_partition(call: Call) -> None:
    """POST /topics/{topic}/partitions/{partition}"""
    topic, partition = call.segments["topic"], call.segments["partition"]
    await produce(call.scope, call.receive, call.send, topic, partition)


INSTANCE = "/consumers/{group}/instances/{instance}"

ROUTES: dict[str, dict[str, Endpoint]] = {
    "/": {"GET": health.show_service},
    "/live": {"GET": health.live},
    "/ready": {"GET": health.ready},
    "/status/ready": {"GET": health.ready},
    "/metrics": {"GET": health.metrics},
    "/openapi.json": {"GET": openapi_json},
    "/docs": {"GET": docs_page},
    "/docs/{file}": {"GET": docs_file},
    "/brokers": {"GET": topics.list_brokers},
    "/topics": {"GET": topics.list_topics},
    "/topics/{topic}": {"GET": topics.show_topic, "POST": produce_to_topic},
    "/topics/{topic}/partitions": {"GET": topics.list_partitions},
    "/topics/{topic}/partitions/{partition}": {
        "GET": topics.show_partition,
        "POST": produce_to_partition,
    },
    "/topics/{topic}/partitions/{partition}/offsets": {"GET": topics.show_offsets},
    "/topics/{topic}/partitions/{partition}/records": {"GET": records.read_partition},
    "/consumers/{group}": {"POST": consumers.create_instance},
    INSTANCE: {"DELETE": consumers.delete_instance},
    INSTANCE + "/subscription": {
        "GET": consumers.show_subscription,
        "POST": consumers.subscribe,
        "DELETE": consumers.unsubscribe,
    },
    INSTANCE + "/assignments": {"GET": consumers.show_assignments, "POST": consumers.assign},
    INSTANCE + "/records": {"GET": records.fetch_records},
    INSTANCE + "/offsets": {"GET": consumers.show_committed, "POST": consumers.commit},
    INSTANCE + "/positions": {"POST": consumers.seek},
    INSTANCE + "/positions/beginning": {"POST": consumers.seek_to_beginning},
    INSTANCE + "/positions/end": {"POST": consumers.seek_to_end},
}

# Where GET does more than show: HEAD is no method of these.
WITHOUT_HEAD = {
    INSTANCE + "/records",
    "/topics/{topic}/partitions/{partition}/records",
}

# Not part of the interface: the files of the page at /docs.
UNDOCUMENTED = {"/docs/{file}"}


def documented_routes() -> set[tuple[str, str]]:
    """Every method and path template that the OpenAPI document must have, and no other."""
    return {
        (method, template)
        for template, methods in ROUTES.items()
        if template not in UNDOCUMENTED
        for method in methods
    }


def find_endpoint(method: str, raw_path: str) -> Found:
    """
    The endpoint for a method and a path as it was sent.

    Raises: ApiError 404; MethodNotAllowed
    """
    segments = split_path(raw_path)
    for template, parts, methods in _BY_LENGTH.get(len(segments), ()):
        names = _match(parts, segments)
        if names is None:
            continue
        endpoint = methods.get(method)
        if endpoint is None:
            raise MethodNotAllowed(methods)
        return Found(endpoint, template, names)
    raise ApiError(404, "No such route. GET /openapi.json lists those that there are.")


def split_path(raw_path: str) -> list[str]:
    """The segments of a path; a slash at its end makes none."""
    return raw_path.removesuffix("/").split("/")[1:]


def _match(parts: list[str], segments: list[str]) -> dict[str, str] | None:
    names = {}
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if not segment:
                return None
            names[part[1:-1]] = segment
        elif part != segment:
            return None
    return names


def _complete(template: str, methods: dict[str, Endpoint]) -> dict[str, Endpoint]:
    complete = dict(methods)
    if "GET" in methods and template not in WITHOUT_HEAD:
        complete["HEAD"] = methods["GET"]
    allow = ((b"allow", ", ".join([*complete, "OPTIONS"]).encode()),)

    async def options(call: Call) -> None:
        await respond(call.scope, call.send, 204, headers=allow)

    complete["OPTIONS"] = options
    return complete


_BY_LENGTH: dict[int, list[tuple[str, list[str], dict[str, Endpoint]]]] = {}
for _template, _methods in ROUTES.items():
    _parts = split_path(_template)
    _BY_LENGTH.setdefault(len(_parts), []).append(
        (_template, _parts, _complete(_template, _methods))
    )
