"""
The running service and its document agree: routes, media types, statuses, headers and bodies.

Three ways: the table of routes against the paths; every operation once as a client would use it,
with success; and requests made up by schemathesis, valid and invalid, that must be answered as the
document says and never with a 5xx.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import httpx
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from proxy.api.routes import documented_routes
from tests.brokers.broker import Broker
from tests.brokers.verify import create_topic, delete_topics
from tests.conftest import ProxyFactory

DOCUMENT: dict[str, Any] = yaml.load(
    (Path(__file__).parents[2] / "openapi" / "openapi.yaml").read_bytes(),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # noqa: S506 -- both are safe loaders
)
V2 = "application/vnd.kafka.v2+json"
BIN = "application/vnd.kafka.binary.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
RUN = uuid.uuid4().hex[:8]
TOPIC = f"openapi-{RUN}"
GROUP = f"openapi/{RUN} ü"
FUZZ_GROUP = f"openapi-fuzz-{RUN}"
EXAMPLES_PER_OPERATION = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Step(NamedTuple):
    """A request that must succeed. `body` goes out as JSON, of the type `sent`."""

    operation: str
    status: int
    body: Any = None
    sent: str = V2
    accept: str = "*/*"
    query: str = ""
    answered: str = V2
    instance: str = "one"


PARTITION = {"topic": TOPIC, "partition": 0}
RECORD = {"key": {"a": 1}, "value": [1.0, None], "headers": [{"name": "h", "value": None}]}

# A client's day, in an order in which every request succeeds.
STEPS = [
    Step("getService", 200),
    Step("getLiveness", 200, answered="application/json"),
    Step("getReadiness", 200, answered="application/json"),
    Step("getStatusReady", 200, answered="application/json"),
    Step("getMetrics", 200, answered="text/plain"),
    Step("getOpenapi", 200, answered="application/json"),
    Step("getDocs", 200, answered="text/html"),
    Step("listBrokers", 200),
    Step("listBrokers", 200, accept="application/json", answered="application/json"),
    Step("listTopics", 200),
    Step("getTopic", 200),
    Step("listPartitions", 200),
    Step("getPartition", 200),
    Step("produceToTopic", 200, {"records": [RECORD]}, JSON),
    Step("produceToTopic", 200, {"records": [RECORD]}, "application/json"),
    Step("produceToTopic", 200, {"records": [{"value": "aGk="}, {"partition": 99}]}, BIN),
    Step("produceToPartition", 200, {"records": [{"key": "k", "value": "좌표"}]}, TEXT),
    Step("getPartitionOffsets", 200),
    Step("readPartition", 200, accept=BIN, answered=BIN),
    Step("readPartition", 200, query="?offset=-1&max_bytes=1&timeout=1", answered=BIN),
    Step("readPartition", 200, query="?invalid=report", accept=JSON, answered=JSON),
    Step("readPartition", 200, query="?offset=latest&timeout=0", accept=TEXT, answered=TEXT),
    Step("createConsumer", 200, {"name": "one", "format": "json", "fetch.min.bytes": "1"}),
    Step("subscribe", 204, {"topics": [TOPIC]}),
    Step("getSubscription", 200),
    Step("getAssignments", 200),
    Step("fetchRecords", 200, query="?timeout=5000&invalid=report", answered=JSON),
    Step("seekToBeginning", 204, {"partitions": [PARTITION]}),
    Step("fetchRecords", 200, query="?max_records=1", accept=BIN, answered=BIN),
    Step("commitOffsets", 204),
    Step("commitOffsets", 204, {}),
    Step("commitOffsets", 204, {"offsets": [{**PARTITION, "offset": 0, "metadata": "m"}]}),
    Step("getCommittedOffsets", 200),
    Step("getCommittedOffsets", 200, query=f"?topic={TOPIC}&partition=0"),
    Step("getCommittedOffsets", 200, {"partitions": [PARTITION]}),
    Step("seek", 204, {"offsets": [{**PARTITION, "offset": 0}]}),
    Step("seek", 204, {"timestamps": [{**PARTITION, "timestamp": "2026-01-01T00:00:00Z"}]}),
    Step("seekToEnd", 204, {"partitions": [PARTITION]}),
    Step("unsubscribe", 204),
    Step("assign", 204, {"partitions": [PARTITION]}),
    Step("deleteConsumer", 204),
]

schema = schemathesis.openapi.from_dict(DOCUMENT)
operations = {
    found.ok().definition.raw["operationId"]: found.ok()
    for found in schema.get_all_operations()
    if isinstance(found, Ok)
}
# What takes nothing cannot be asked wrongly.
FUZZED = [
    pytest.param(name, mode, id=f"{name}-{mode.value}")
    for name, operation in operations.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE
    or any((operation.path_parameters, operation.query, operation.body))
]


@pytest.fixture(scope="module")
def client(proxy_url: str) -> Iterator[httpx.Client]:
    """An HTTP client of the proxy."""
    with httpx.Client(base_url=proxy_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def shared_topic(broker: Broker) -> Iterator[str]:
    """A topic of one partition that all tests here share."""
    asyncio.run(create_topic(broker.bootstrap, TOPIC))
    yield TOPIC
    asyncio.run(delete_topics(broker.bootstrap, [TOPIC]))


def _fill(path: str, instance: str) -> str:
    names = {"topic_name": TOPIC, "partition_id": "0", "group_name": GROUP, "instance": instance}
    return re.sub(r"\{(\w+)\}", lambda match: quote(names[match[1]], safe=""), path)


def test_routes_are_the_documents() -> None:
    """What is served is documented, and what is documented is served."""
    blank = re.compile(r"\{\w+\}")
    documented = {
        (method.upper(), blank.sub("{}", path))
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    served = {(method, blank.sub("{}", path)) for method, path in documented_routes()}
    assert served == documented


def test_every_operation_has_a_step() -> None:
    """The client's day below leaves no operation out."""
    assert {step.operation for step in STEPS} == set(operations)


def test_success_is_as_documented(client: httpx.Client, shared_topic: str) -> None:
    """Each operation, used as intended, answers with the documented status, type and body."""
    for step in STEPS:
        operation = operations[step.operation]
        answer = client.request(
            operation.method,
            _fill(operation.path, step.instance) + step.query,
            json=step.body,
            headers={"Accept": step.accept, "Content-Type": step.sent},
        )
        assert answer.status_code == step.status, (step, answer.text)
        if step.status == 200:
            assert answer.headers["content-type"].split(";")[0] == step.answered, step
        else:
            assert answer.content == b""
        assert step.status != 200 or answer.content != b"[]" or "latest" in step.query, step
        operation.validate_response(answer)


@pytest.mark.parametrize(("name", "mode"), FUZZED)
def test_answers_are_as_documented(
    name: str, mode: GenerationMode, client: httpx.Client, proxy_url: str, shared_topic: str
) -> None:
    """Whatever is asked, valid or not, of what exists or not: the answer is as documented."""
    existing = {
        "topic_name": shared_topic,
        "partition_id": 0,
        "group_name": FUZZ_GROUP,
        "instance": "one",
    }
    waits = any(parameter.name == "timeout" for parameter in operations[name].query)
    # Again for each: `deleteConsumer` is among them.
    client.post(f"/consumers/{FUZZ_GROUP}", json={"name": "one"})
    with requests.Session() as session:

        @settings(
            max_examples=EXAMPLES_PER_OPERATION,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operations[name].as_strategy(generation_mode=mode))
        def check(case: Case[Any]) -> None:
            if waits and re.fullmatch(r"\d+", str(case.query.get("timeout", 1))):
                case.query["timeout"] = 1
            case.call_and_validate(base_url=proxy_url, session=session, checks=CHECKS)
            for parameter in case.path_parameters:
                case.path_parameters[parameter] = existing[parameter]
            case.call_and_validate(base_url=proxy_url, session=session, checks=CHECKS)

        check()


def test_document_is_served_as_it_is(client: httpx.Client) -> None:
    """The document comes as JSON, whole."""
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {**DOCUMENT, "servers": [{"url": "/"}]}


def test_document_knows_its_prefix(start_proxy: ProxyFactory) -> None:
    """Behind a path prefix the document says where the service is."""
    url = start_proxy(root_path="/kafka").url
    assert httpx.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/kafka"}]


class References(HTMLParser):
    """What a page loads: the addresses in it, and where they start from."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.base = str(page.url)
        self.found: list[str] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "style" and "style" not in given, "the policy forbids it"
        if tag == "base":
            self.base = urljoin(self.base, given["href"])
        elif address := given.get("src") or given.get("href"):
            self.found.append(urljoin(self.base, address))


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_page_is_whole_by_itself(client: httpx.Client, path: str) -> None:
    """The page and all that it loads come from here, under a policy that allows nothing else."""
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    todo, seen = References(page).found, {str(page.url)}
    while todo:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        assert address.startswith(str(client.base_url))
        file = client.get(address)
        assert file.status_code == 200, address
        todo += [urljoin(address, name) for name in re.findall(r'from "(.*?)"', file.text)]
    names = {address.rpartition("/")[2] for address in seen}
    assert {"page.js", "page.css", "icon.svg", "openapi.json", "markdown.js"} <= names


def test_page_unchanged_costs_nothing(client: httpx.Client) -> None:
    """A file that the browser has already is not sent again; one that there is not is a 404."""
    tag = client.get("/docs/page.js").headers["etag"]
    again = client.get("/docs/page.js", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    missing = client.get("/docs/nothing.js")
    assert missing.status_code == 404
    assert missing.json()["error_code"] == 404
