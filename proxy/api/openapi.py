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

import gzip
import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml
from starlette.requests import Request
from starlette.responses import Response

from proxy.api.base_uri import base_uri
from proxy.api.context import context_of
from proxy.api.responses import GZIP_LEVEL, accepts_gzip
from proxy.errors import ApiError

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
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


async def openapi_json(request: Request) -> Response:
    """The OpenAPI document as JSON, with the path prefix under which we are in `servers`."""
    base = base_uri(request.scope, context_of(request.scope).settings)
    server = {"url": urlsplit(base).path or "/"}
    content = orjson.dumps({**DOCUMENT, "servers": [server]})
    return _answer(request, content, "application/json", {})


async def docs_page(request: Request) -> Response:
    """The page, which fetches its files from `docs/` and the document from beside itself."""
    asked: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    base = b"./" if asked.endswith(b"/") else b"docs/"
    page = _FILES["page.html"].replace(b"$BASE", base)
    return _answer_file(request, page, _MEDIA_TYPES[".html"])


async def docs_file(request: Request) -> Response:
    """A script, style or picture of the page."""
    name = request.path_params["file"]
    content = _FILES.get(name)
    if content is None or name == "page.html":
        raise ApiError(404, f"The page has no file '{name}'.")
    return _answer_file(request, content, _MEDIA_TYPES[Path(name).suffix])


def _answer_file(request: Request, content: bytes, media_type: str) -> Response:
    # Asked for again each time, as the next version has the same names; unchanged costs no bytes.
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "ETag": tag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    return _answer(request, content, media_type, headers)


def _answer(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept-Encoding"
    if accepts_gzip(request.headers.get("Accept-Encoding", "").encode("latin-1")):
        headers["Content-Encoding"] = "gzip"
        content = gzip.compress(content, GZIP_LEVEL)
    return Response(content, media_type=media_type, headers=headers)


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
