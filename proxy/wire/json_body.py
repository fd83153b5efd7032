"""
The JSON body of a request, decoded, and what is said when it cannot be.

Rule 1: malformed JSON anywhere is 400 with the byte position, even behind a wrong type.
Rule 2: well-formed JSON of the wrong shape is 422 with the JSON path; no value is echoed.
Rule 3: the good way is one call of msgspec; everything else here runs after it has failed.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from proxy.errors import ApiError
from proxy.wire.json_text import CONCEALED, conceal_surrogates
from proxy.wire.parameters import show_text

T = TypeVar("T")

SPACE = b" \t\n\r"

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode

_AT_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", re.DOTALL)
_AT_PATH = re.compile(r"(.*) - at `(\$.*)`", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(.*)`")

_BASE64 = "not standard base64 with its padding (RFC 4648, section 4)"
_UNPAIRED = "an unpaired surrogate is no text"


def decode(
    body: bytes, decoder: msgspec.json.Decoder[T], carried: re.Pattern[str] | None = None
) -> tuple[T, bool]:
    """
    The body, and whether the `msgspec.Raw` values in it must go through `reveal_surrogates`.

    `carried` matches the JSON paths of those values.
    Raises: ApiError 400 on malformed JSON, with the byte position; 422 with the JSON path otherwise
    """
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        concealed = _check_syntax(body)
    # Well-formed, so msgspec stumbled over a surrogate escape or over the shape.
    try:
        return decoder.decode(concealed), True
    except msgspec.ValidationError as exc:
        raise ApiError(422, _describe_mismatch(str(exc))) from exc
    except UnicodeDecodeError as exc:
        raise ApiError(422, f"{_find_unpaired(concealed, carried)}: {_UNPAIRED}") from exc
    except RecursionError as exc:
        raise _too_deep() from exc


def _check_syntax(body: bytes) -> bytes:
    # Refuses what is not JSON, gives the rest without unpaired surrogates. Nesting is followed as
    # deep as Python's recursion limit allows, 500 levels at the least. RFC 8259 section 9: "An
    # implementation may set limits on the maximum depth of nesting"; Jackson's own is 1,000.
    if not body.strip(SPACE):
        raise ApiError(422, "The request body is empty.")
    concealed = conceal_surrogates(body)
    try:
        body.decode()
        _skip(concealed)
    except UnicodeDecodeError as exc:
        raise ApiError(400, f"Malformed JSON at byte {exc.start}: not UTF-8") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    except msgspec.DecodeError as exc:
        match = _AT_BYTE.fullmatch(str(exc))
        what, position = match.groups() if match else ("unexpected end", len(body))
        raise ApiError(400, f"Malformed JSON at byte {position}: {what}".replace("`", "'")) from exc
    return concealed


def _describe_mismatch(text: str) -> str:
    path = "$"
    located = _AT_PATH.fullmatch(text)
    if located:
        text, path = located.groups()
    unknown = _UNKNOWN_FIELD.fullmatch(text)
    if unknown:
        return f"Unrecognized field: {show_text(unknown[1])}" + (
            "" if path == "$" else f" at {path}"
        )
    missing = _MISSING_FIELD.fullmatch(text)
    if missing:
        return f"{path}.{missing[1]}: missing"
    if text == "Invalid base64 encoded string":
        return f"{path}: {_BASE64}"
    text = text.replace("`bytes", "`base64 string").replace("`", "")
    return f"{path}: {text[:1].lower()}{text[1:]}"


def _find_unpaired(concealed: bytes, carried: re.Pattern[str] | None) -> str:
    # The JSON path of the first string that is no text, or of the object that has it as a name.
    pending = [("$", concealed)]
    while pending:
        path, text = pending.pop()
        if CONCEALED not in text or (carried is not None and carried.fullmatch(path)):
            continue
        text = text.lstrip(SPACE)
        if text.startswith(b"{"):
            try:
                members = _members(text)
            except UnicodeDecodeError:
                return path
            pending += [(f"{path}.{name}", bytes(raw)) for name, raw in reversed(members.items())]
        elif text.startswith(b"["):
            texts = list(enumerate(map(bytes, _elements(text))))
            pending += [(f"{path}[{at}]", raw) for at, raw in reversed(texts) if CONCEALED in raw]
        else:
            return path
    return "$"


def _too_deep() -> ApiError:
    return ApiError(422, "$: nested too deeply")
