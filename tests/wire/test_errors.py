"""Error bodies."""

from __future__ import annotations

import orjson

from proxy.wire.errors import render_error, render_problem


def test_renders_errors() -> None:
    """An error is a code and a message, whatever characters are in it."""
    assert render_error(40401, "Topic 'é\"' not found.") == (
        '{"error_code":40401,"message":"Topic \'é\\"\' not found."}'.encode()
    )
    assert render_error(400, "\udcff") == '{"error_code":400,"message":"\ufffd"}'.encode()


def test_renders_problems() -> None:
    """A problem has the members of RFC 9457 and those of the other shape."""
    assert orjson.loads(render_problem(404, 40401, "Topic not found.", "/topics/%C3%A9")) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Topic not found.",
        "instance": "/topics/%C3%A9",
        "error_code": 40401,
        "message": "Topic not found.",
    }
    assert orjson.loads(render_problem(599, 599, "", "/"))["title"] == "Error"
