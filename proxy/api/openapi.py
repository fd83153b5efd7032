"""
GET /openapi.json and GET /docs: the interface described, for programs and for people.

Rule 1: the document is `openapi/openapi.yaml`, kept by hand; here only `servers` is filled in.
Rule 2: the page and its files come from here alone. Its policy forbids everything else, inline
  script and HTML made of strings too: no stored record can act in the browser of who looks at it.
Rule 3: the page finds its files and the service by where it stands itself: any path prefix will
  do, also one that a proxy in front cuts off without a word.

No library: the wheels with a Swagger UI that renders OpenAPI 3.1 bring a web framework of their own
(Flask, Django) or 12 MB of source maps from a publisher with one release; the page is 25 kB.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

from proxy.api.base_uri import base_uri
from proxy.api.endpoint import Call
from proxy.api.limits import header
from proxy.api.responses import respond
from proxy.errors import ApiError
from proxy.wire.media_types import APPLICATION_JSON

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


async def openapi_json(call: Call) -> None:
    """The OpenAPI document as JSON, with the path prefix under which we are in `servers`."""
    base = base_uri(call.scope, call.context.settings)
    server = {"url": urlsplit(base).path or "/"}
    await call.answer(orjson.dumps({**DOCUMENT, "servers": [server]}), APPLICATION_JSON)


async def docs_page(call: Call) -> None:
    """The page, which fetches its files from `docs/` and the document from beside itself."""
    asked: bytes = call.scope.get("raw_path") or call.scope["path"].encode()
    base = b"./" if asked.endswith(b"/") else b"docs/"
    await _answer_file(call, _FILES["page.html"].replace(b"$BASE", base), _MEDIA_TYPES[".html"])


async def docs_file(call: Call) -> None:
    """A script, style or picture of the page."""
    name = call.segments["file"]
    content = _FILES.get(name)
    if content is None or name == "page.html":
        raise ApiError(404, f"The page has no file '{name}'.")
    await _answer_file(call, content, _MEDIA_TYPES[Path(name).suffix])


async def _answer_file(call: Call, content: bytes, media_type: str) -> None:
    # Asked for again each time, as the next version has the same names; unchanged costs no bytes.
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'.encode()
    headers = (
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", _POLICY.encode()),
        (b"etag", tag),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    )
    if header(call.scope, b"if-none-match") != tag:
        await respond(call.scope, call.send, 200, content, media_type, headers)
        return
    # Not by `respond`: a length of 0 would be said of the file, RFC 9110 section 8.6.
    await call.send({"type": "http.response.start", "status": 304, "headers": list(headers)})
    await call.send({"type": "http.response.body", "body": b""})


def _load_document() -> dict[str, Any]:
    packaged: Traversable = resources.files("proxy.api") / "openapi.yaml"
    checkout = Path(__file__).parents[2] / "openapi" / "openapi.yaml"
    text = (packaged if packaged.is_file() else checkout).read_bytes()
    # libyaml needs 40 ms for it, PyYAML's own parser 200 ms.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 -- both are safe loaders
    return document


def _load_files() -> dict[str, bytes]:
    folder = resources.files("proxy.api") / "docs_page"
    return {file.name: file.read_bytes() for file in folder.iterdir()}


DOCUMENT = _load_document()
_FILES = _load_files()
