"""The body of an error. Which error it is, is decided in `api/error_responses.py`."""

from __future__ import annotations

from http import HTTPStatus

from proxy.wire.json_text import quote


def render_error(code: int, message: str) -> bytes:
    """
    The error body of both peers.

    Shape: {"error_code", "message"}
    Source: CONTRACT.md section 6
    """
    return b'{"error_code":%d,"message":%b}' % (code, quote(message))


def render_problem(status: int, code: int, message: str, instance_path: str) -> bytes:
    """
    The error body as a problem, with the two members of `render_error` added.

    Shape: {"type", "title", "status", "detail", "instance", "error_code", "message"}
    `type` is "about:blank", for which RFC 9457 section 4.2.1 asks the status phrase as `title`.
    Source: RFC 9457 section 3.1; CONTRACT.md section 6
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    text = quote(message)
    return (
        b'{"type":"about:blank","title":%b,"status":%d,"detail":%b,"instance":%b,'
        b'"error_code":%d,"message":%b}'
        % (quote(title), status, text, quote(instance_path), code, text)
    )
