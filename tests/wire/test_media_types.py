"""Media types of requests and answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ApiError
from proxy.model import Format
from proxy.wire.media_types import (
    APPLICATION_JSON,
    BIN,
    JSON,
    PROBLEM_JSON,
    TEXT,
    V2,
    check_management_body_type,
    choose_error_type,
    choose_management_type,
    choose_produce_format,
    choose_record_type,
    wants_problem,
)
from tests.wire.refusals import refusal


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (BIN, Format.BINARY),
        (JSON, Format.JSON),
        (TEXT, Format.TEXT),
        (APPLICATION_JSON, Format.JSON),
        (f" {BIN.upper()} ; charset=utf-8", Format.BINARY),
        ("application/json;a=b", Format.JSON),
    ],
)
def test_produce_formats(content_type: str, expected: Format) -> None:
    """The type says how keys and values are embedded; case and parameters do not matter."""
    assert choose_produce_format(content_type) is expected


@pytest.mark.parametrize("content_type", [None, "", V2, "text/plain", "application/x-avro", "json"])
def test_other_produce_types_are_refused(content_type: str | None) -> None:
    """Anything else, or nothing, is 415 with what is accepted."""
    code, message = refusal(choose_produce_format, content_type)
    assert code == 415
    assert message.endswith(f" Accepted are: {BIN}, {JSON}, {TEXT}, application/json")


@pytest.mark.parametrize("content_type", [None, "", V2, BIN, JSON, "Application/JSON; a=b"])
def test_management_body_types(content_type: str | None) -> None:
    """Other bodies may bear any type of ours, or none."""
    check_management_body_type(content_type)


def test_other_management_body_types_are_refused() -> None:
    """A body that says it is something else is refused."""
    assert refusal(check_management_body_type, "text/plain") == (
        415,
        (
            "Content-Type 'text/plain': not supported here. Accepted are: "
            f"{V2}, {BIN}, {JSON}, application/json"
        ),
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, V2),
        ("", V2),
        ("*/*", V2),
        ("application/*", V2),
        ("*", V2),
        ("text/html, image/gif, *; q=.2, */*; q=.2", V2),
        (V2, V2),
        ("APPLICATION/json", APPLICATION_JSON),
        ("application/json, text/plain, */*", APPLICATION_JSON),
        (f"{V2}, application/json", V2),
        (f"application/json, {V2}", V2),
        (f"application/json, {V2};q=0.9", APPLICATION_JSON),
        ("application/json;q=0.9, */*", V2),
        (f"{V2};q=0, */*", APPLICATION_JSON),
        (f"{V2};q=0.000, application/*;q=0.001", APPLICATION_JSON),
        (BIN, V2),
        (f"{JSON}; charset=utf-8, application/json;q=0.5", V2),
        (f"{BIN};q=0.1, */*", V2),
        ("application/json;q=high", APPLICATION_JSON),
        ("application/json;q=7", APPLICATION_JSON),
        ("garbage, application/json", APPLICATION_JSON),
        ('text/html;x=",;q=1\\"";q=0.9,application/json;q=0.1', APPLICATION_JSON),
        ("text/html;level=1;q=0.4, application/json ; Q = 0.1", APPLICATION_JSON),
    ],
)
def test_management_types(accept: str | None, expected: str) -> None:
    """An answer bears V2 or, when the client names that, `application/json`."""
    assert choose_management_type(accept) == expected


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", PROBLEM_JSON, f"{V2};q=0, {BIN}"]
)
def test_other_management_types_are_refused(accept: str) -> None:
    """An `Accept` that nothing satisfies is 406 with what is on offer."""
    assert refusal(choose_management_type, accept) == (
        406,
        f"Nothing on offer satisfies Accept. On offer are: {V2}, application/json",
    )


@pytest.mark.parametrize(
    ("accept", "own", "expected"),
    [
        (None, Format.BINARY, (BIN, Format.BINARY)),
        ("*/*", Format.TEXT, (TEXT, Format.TEXT)),
        ("application/*;q=0.1", Format.JSON, (JSON, Format.JSON)),
        (None, None, (JSON, None)),
        ("*/*", None, (JSON, None)),
        (V2, None, (V2, None)),
        (V2, Format.JSON, (V2, Format.JSON)),
        (APPLICATION_JSON, Format.TEXT, (APPLICATION_JSON, Format.TEXT)),
        (JSON, None, (JSON, Format.JSON)),
        (JSON, Format.BINARY, (JSON, Format.JSON)),
        (f"{JSON}, {V2}, application/json", Format.BINARY, (JSON, Format.JSON)),
        (f"{BIN}, {JSON}", Format.JSON, (JSON, Format.JSON)),
        (f"{BIN};q=0.5, {JSON};q=0.4, text/html", Format.JSON, (BIN, Format.BINARY)),
        ("application/json, text/plain, */*", Format.BINARY, (APPLICATION_JSON, Format.BINARY)),
        (f"{TEXT}, */*", Format.BINARY, (TEXT, Format.TEXT)),
        (f"{TEXT};q=0.5, */*", Format.BINARY, (BIN, Format.BINARY)),
    ],
)
def test_record_types(
    accept: str | None, own: Format | None, expected: tuple[str, Format | None]
) -> None:
    """A read is in the format that the client names, else in the instance's own."""
    assert choose_record_type(accept, own) == expected


def test_other_record_types_are_refused() -> None:
    """A read that nothing satisfies is 406 with what is on offer."""
    assert refusal(choose_record_type, "text/csv", Format.JSON) == (
        406,
        (
            "Nothing on offer satisfies Accept. On offer are: "
            f"{JSON}, {BIN}, {TEXT}, {V2}, application/json"
        ),
    )


def test_error_types() -> None:
    """An error is a problem when the client names that type, and never an error itself."""
    assert wants_problem(f"application/json, {PROBLEM_JSON}")
    assert wants_problem(f"{BIN}, Application/Problem+JSON;q=0.1")
    assert not wants_problem(f"application/json, {PROBLEM_JSON};q=0")
    assert not wants_problem("*/*")
    assert not wants_problem(None)
    assert choose_error_type(PROBLEM_JSON) == PROBLEM_JSON
    assert choose_error_type("application/json") == APPLICATION_JSON
    assert choose_error_type("text/html") == V2


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.text(max_size=30),
        st.text(alphabet='application/*json;q=0.1,"\\ ', max_size=60),
    )
)
def test_any_header_gives_a_type_or_a_refusal(header: str) -> None:
    """No header makes anything but a type or an `ApiError` of 406 or 415."""
    for choose, code in (
        (choose_management_type, 406),
        (lambda accept: choose_record_type(accept, Format.TEXT), 406),
        (choose_produce_format, 415),
        (check_management_body_type, 415),
    ):
        try:
            choose(header)
        except ApiError as refused:
            assert refused.code == code
