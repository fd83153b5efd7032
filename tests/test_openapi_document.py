"""
The OpenAPI document by itself: valid, complete, and its examples true to its schemas.

That the running service is like this is `tests/api/test_openapi.py`'s to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

import proxy
from proxy.wire.kafka_properties import CONSUMER_PROPERTIES

Node = dict[str, Any]

DOCUMENT: Node = yaml.load(
    (Path(__file__).parents[1] / "openapi" / "openapi.yaml").read_bytes(),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # noqa: S506 -- both are safe loaders
)
METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS: dict[str, Node] = {
    f"{method.upper()} {path}": {"parameters": [], **item[method], "path": path}
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
JSON = "application/json"
V2 = "application/vnd.kafka.v2+json"
EMBEDDED = {f"application/vnd.kafka.{name}.v2+json" for name in ("binary", "json", "text")}
PROBLEM = "application/problem+json"

# CONTRACT.md section 6 and the numbers of Confluent's schema errors; 414 for the over-long URLs of
# section 7, and 500 for what nobody foresaw, are ours.
CONTRACT_CODES = {
    *(400, 404, 405, 406, 408, 413, 414, 415, 422, 431, 500),
    *(40002, 40101, 40301, 40401, 40402, 40403, 40801, 40902, 40903),
    *(41301, 42201, 42202, 42203, 42204, 42205, 42206, 42207, 42901),
    *(50002, 50003, 50302, 50304, 50401),
}
# Sections 6 and 7: these codes do not go by code / 100.
STATUS_OF_CODE = {40801: 422, 50003: 503}


def _resolve(node: Node) -> Node:
    if "$ref" not in node:
        return node
    target: Any = DOCUMENT
    for name in node["$ref"].removeprefix("#/").split("/"):
        target = target[name.replace("~1", "/").replace("~0", "~")]
    return _resolve(target)


def _bodies(operation: Node) -> Iterator[tuple[str, str, Node]]:
    """Where ("request" or a status), media type and media type object of each body."""
    for member in ("requestBody", "x-request-body"):
        for media_type, media in _resolve(operation.get(member, {})).get("content", {}).items():
            yield "request", media_type, media
    for status, response in operation["responses"].items():
        for media_type, media in _resolve(response).get("content", {}).items():
            yield status, media_type, media


def _examples(media: Node) -> list[Any]:
    named = [_resolve(example)["value"] for example in media.get("examples", {}).values()]
    return named or list(_resolve(media["schema"]).get("examples", []))


def _validator(schema: Node) -> jsonschema_rs.Draft202012Validator:
    root = {"$ref": "#/schema", "schema": schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(root)


def _codes(schema: Node) -> set[int]:
    """The error codes that the schema of an error allows."""
    return {
        code
        for part in _resolve(schema)["allOf"]
        for code in part.get("properties", {}).get("error_code", {}).get("enum", ())
    }


def test_document_is_valid() -> None:
    """The document is what the OpenAPI 3.1 specification asks of one."""
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_version_is_the_packages() -> None:
    """The document bears the version of the package."""
    assert DOCUMENT["info"]["version"] == proxy.__version__


def test_operation_ids_are_unique() -> None:
    """No two operations have one id, from which clients name their functions."""
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_is_told(name: str) -> None:
    """Each operation has an id in camel case, one known tag, a summary and a description."""
    operation = OPERATIONS[name]
    assert operation["operationId"].isidentifier()
    assert operation["operationId"][0].islower()
    assert len(operation["tags"]) == 1
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert operation["description"].strip().endswith((".", "`"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_are_told(name: str) -> None:
    """Each parameter has a description, a type and an example, and each part of the path is one."""
    operation = OPERATIONS[name]
    given = DOCUMENT["paths"][operation["path"]].get("parameters", [])
    parameters = [_resolve(one) for one in [*given, *operation["parameters"]]]
    for parameter in parameters:
        assert parameter["description"]
        assert "type" in _resolve(parameter["schema"])
        examples = [one["value"] for one in parameter.get("examples", {}).values()]
        for example in examples or [parameter["example"]]:
            _validator(parameter["schema"]).validate(example)
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    assert in_path == {part[1:-1] for part in operation["path"].split("/") if part[:1] == "{"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_bodies_have_true_examples(name: str) -> None:
    """Each body has an example, and each example is valid by the body's own schema."""
    for where, media_type, media in _bodies(OPERATIONS[name]):
        examples = _examples(media)
        assert examples or media_type == "text/html", f"{where} {media_type}"
        validator = _validator(media["schema"])
        for example in examples:
            assert list(validator.iter_errors(example)) == [], f"{where} {media_type}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_errors_are_told(name: str) -> None:
    """Each error comes in our two shapes, bears known codes, and the codes fit the status."""
    operation = OPERATIONS[name]
    statuses = {status for status in operation["responses"] if int(status) >= 400}
    assert {"405", "414", "431"} <= statuses
    for status in statuses:
        response = _resolve(operation["responses"][status])
        assert response["description"]
        assert {V2, JSON, PROBLEM} <= set(response["content"])
        told = _codes(response["content"][PROBLEM]["schema"])
        assert all(_codes(media["schema"]) == told for media in response["content"].values())
        for code in told:
            assert code in CONTRACT_CODES
            usual = code if code < 1000 else code // 100
            assert STATUS_OF_CODE.get(code, usual) == int(status)


@pytest.mark.parametrize("name", OPERATIONS)
def test_headers_of_errors_are_told(name: str) -> None:
    """405 names the methods, and what is worth trying again says when."""
    for status, given in OPERATIONS[name]["responses"].items():
        headers = set(_resolve(given).get("headers", {}))
        expected = {"405": {"Allow"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
        assert headers == expected.get(status, set())


@pytest.mark.parametrize("name", OPERATIONS)
def test_bodies_come_with_their_errors(name: str) -> None:
    """Who takes a body can find it too slow, too large, of another type, malformed or wrong."""
    operation = OPERATIONS[name]
    if "requestBody" in operation or "x-request-body" in operation:
        assert {"400", "408", "413", "415", "422"} <= set(operation["responses"])


def test_media_types_are_the_contracts() -> None:
    """Requests, answers of metadata and management, and records have the types of section 1."""
    for name, operation in OPERATIONS.items():
        taken = {media_type for where, media_type, _ in _bodies(operation) if where == "request"}
        given = {media_type for where, media_type, _ in _bodies(operation) if where == "200"}
        produces = operation["tags"] == ["Produce"]
        management = {V2, JSON, *EMBEDDED} - {"application/vnd.kafka.text.v2+json"}
        assert taken in (set(), {*EMBEDDED, JSON} if produces else management), name
        if name.endswith("/records"):
            assert given == {*EMBEDDED, V2, JSON}, name
        elif operation["tags"] != ["Service"]:
            assert given in (set(), {V2, JSON}), name


def test_every_code_of_the_contract_occurs() -> None:
    """The catalogue of codes is the contract's, and each is borne by a response or a record."""
    catalogue = DOCUMENT["components"]["schemas"]["ErrorCode"]
    assert set(catalogue["enum"]) == CONTRACT_CODES
    borne = {
        code
        for operation in OPERATIONS.values()
        for where, media_type, media in _bodies(operation)
        if where != "request" and media_type == PROBLEM
        for code in _codes(media["schema"])
    }
    assert borne == CONTRACT_CODES
    for code in CONTRACT_CODES:
        assert f"| {code} |" in catalogue["description"]


def test_consumer_settings_are_those_of_the_service() -> None:
    """The document names the same properties of Kafka's consumer as the service knows."""
    settings = DOCUMENT["components"]["schemas"]["ConsumerSettings"]
    named = settings["propertyNames"]["enum"]
    assert sorted(named) == sorted(CONSUMER_PROPERTIES | set(settings["properties"]))


def test_no_component_is_left_over() -> None:
    """Every component is used."""
    text = str(DOCUMENT)
    unused = [
        f"#/components/{kind}/{name}"
        for kind, components in DOCUMENT["components"].items()
        for name in components
        if f"'#/components/{kind}/{name}'" not in text
    ]
    assert unused == []


RECORDS = [
    ({"value": None}, True),
    ({}, True),
    ({"key": None, "value": None, "partition": None, "timestamp": None, "headers": None}, True),
    ({"partition": 0, "timestamp": 0, "headers": []}, True),
    ({"timestamp": "2026-01-01T00:00:00.5+09:00"}, True),
    ({"headers": [{"key": "h", "value": "aGk="}, {"name": "h", "value": None}, {"key": ""}]}, True),
    ({"headers": [{"key": "h", "name": "h", "value": None}]}, False),
    ({"headers": [{"value": None}]}, False),
    ({"partition": -1}, False),
    ({"timestamp": -1}, False),
    ({"colour": "red"}, False),
]


@pytest.mark.parametrize("media_type", sorted(EMBEDDED))
@pytest.mark.parametrize(("record", "valid"), RECORDS)
def test_record_schemas_take_what_the_contract_takes(
    media_type: str, record: object, valid: bool
) -> None:
    """The members of a record, null or absent, typed as section 3 says, and no others."""
    schema = DOCUMENT["components"]["requestBodies"]["Produce"]["content"][media_type]["schema"]
    assert _validator(schema).is_valid({"records": [record]}) is valid


VALUES: dict[str, tuple[list[object], list[object]]] = {
    "binary": ([None, "", "SGk=", "SGVsbG8="], ["SGk", "SGk==", "S G k=", "_-__", 1, {}, False]),
    "json": ([None, 0, False, "", [], {}, "SGk", 1.5], []),
    "text": ([None, "", "0", "좌표"], [0, False, [], {}]),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_schemas_take_what_the_contract_takes(name: str) -> None:
    """Keys and values of each format: null is allowed in all, and everything is in JSON."""
    media = DOCUMENT["components"]["requestBodies"]["Produce"]["content"]
    validator = _validator(media[f"application/vnd.kafka.{name}.v2+json"]["schema"])
    good, bad = VALUES[name]
    for side in ("key", "value"):
        assert [validator.is_valid({"records": [{side: one}]}) for one in good] == [True] * len(
            good
        )
        assert [validator.is_valid({"records": [{side: one}]}) for one in bad] == [False] * len(bad)


SHAPES: list[tuple[str, object, bool]] = [
    ("ProduceJson", {}, False),
    ("ProduceJson", {"records": []}, False),
    ("ConsumerSettings", {}, True),
    ("ConsumerSettings", {"auto.commit.enable": "false", "fetch.min.bytes": "1"}, True),
    ("ConsumerSettings", {"max.poll.records": 500, "session.timeout.ms": "10000"}, True),
    ("ConsumerSettings", {"colour": "red"}, False),
    ("ConsumerSettings", {"format": "avro"}, False),
    ("ConsumerSettings", {"auto.commit.enable": "perhaps"}, False),
    ("ConsumerSettings", {"name": "a\rb"}, False),
    ("SubscriptionRequest", {"topics": ["a"]}, True),
    ("SubscriptionRequest", {"topic_pattern": "a.*"}, True),
    ("SubscriptionRequest", {"topics": ["a"], "topic_pattern": "a.*"}, False),
    ("SubscriptionRequest", {"topics": []}, False),
    ("SubscriptionRequest", {}, False),
    ("CommitRequest", {}, True),
    ("CommitRequest", {"offsets": [{"topic": "a", "partition": 0}]}, False),
    ("SeekRequest", {"timestamps": [{"topic": "a", "partition": 0, "timestamp": 0}]}, True),
    ("SeekRequest", {}, False),
    ("PartitionsRequest", {"partitions": [{"topic": "a/b", "partition": 0}]}, False),
]


@pytest.mark.parametrize(("name", "body", "valid"), SHAPES)
def test_request_schemas_take_what_the_contract_takes(name: str, body: object, valid: bool) -> None:
    """Bodies of the other requests, as sections 4 and 7 say."""
    assert _validator(DOCUMENT["components"]["schemas"][name]).is_valid(body) is valid
