"""
Media types: what a request body is, and which type its answer bears.

Rule 1: `Accept` is read by RFC 9110 section 12.5.1: of the ranges that match a type, the most
        specific one gives its quality; quality 0 excludes.
Rule 2: the highest quality wins; among equals a type that the client named beats one that it covers
        with a wildcard; among those the order of our offer decides.
Rule 3: an unreadable element of the list is passed over, an unreadable quality counts as 1.

Departs from Confluent: `application/json` is taken and given; an explicit embedded type in `Accept`
wins over the instance's format instead of 40601.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from proxy.errors import ApiError
from proxy.model import Format

BIN = "application/vnd.kafka.binary.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
V2 = "application/vnd.kafka.v2+json"
APPLICATION_JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

MEDIA_TYPES = {Format.BINARY: BIN, Format.JSON: JSON, Format.TEXT: TEXT}
FORMATS = {media_type: form for form, media_type in MEDIA_TYPES.items()}

_PRODUCE_TYPES = {**FORMATS, APPLICATION_JSON: Format.JSON}
_MANAGEMENT_BODY_TYPES = (V2, BIN, JSON, APPLICATION_JSON)

# Header values repeat from request to request; a hostile client can fill this, not make it grow.
_CACHE_ENTRIES = 64

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2, no secret
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ELEMENT = re.compile(rf"(?:{_QUOTED}|[^,\"])++", re.DOTALL)
# Java's HttpURLConnection sends a lone "*" for "*/*".
_RANGE = re.compile(rf"\s*+({_TOKEN}/{_TOKEN}|\*)\s*+(?=;|\Z)")
_QUALITY = re.compile(r";\s*+q\s*+=\s*+([0-9]*+\.?+[0-9]*+)\s*+(?=;|\Z)", re.IGNORECASE)
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)

_EXACT, _SUBTYPES, _ANYTHING = 2, 1, 0


@lru_cache(_CACHE_ENTRIES)
def choose_produce_format(content_type: str | None) -> Format:
    """
    How the keys and values of a produce body are embedded.

    Raises: ApiError 415 with the accepted types
    """
    form = _PRODUCE_TYPES.get(_bare_type(content_type))
    if form is None:
        raise _refuse_content_type(content_type, _PRODUCE_TYPES)
    return form


@lru_cache(_CACHE_ENTRIES)
def check_management_body_type(content_type: str | None) -> None:
    """
    Refuses the body of any other POST that says it is no JSON of ours; saying nothing is fine.

    Raises: ApiError 415 with the accepted types
    """
    bare = _bare_type(content_type)
    if bare and bare not in _MANAGEMENT_BODY_TYPES:
        raise _refuse_content_type(content_type, _MANAGEMENT_BODY_TYPES)


@lru_cache(_CACHE_ENTRIES)
def choose_management_type(accept: str | None) -> str:
    """
    The content type of a metadata, management or produce answer: V2 or `application/json`.

    An embedded type in `Accept` is served as V2.
    Raises: ApiError 406 with the types on offer
    """
    ranges = _parse_accept(accept)
    if not ranges:
        return V2
    embedded = max(ranges.get(name, 0.0) for name in FORMATS)
    if embedded > 0 and V2 not in ranges:
        ranges[V2] = max(embedded, _rate(ranges, V2)[0])
    offer = [V2, APPLICATION_JSON]
    chosen = _choose(ranges, offer)
    if chosen is None:
        raise _refuse_accept(offer)
    return chosen


@lru_cache(_CACHE_ENTRIES)
def choose_record_type(accept: str | None, own: Format | None) -> tuple[str, Format | None]:
    """
    The content type of a record read, and the format of keys and values.

    `own` is the instance's format, or None when key and value formats differ. The format that comes
    back is None where the instance's own two apply.
    Raises: ApiError 406 with the types on offer
    """
    own_type = JSON if own is None else MEDIA_TYPES[own]
    ranges = _parse_accept(accept)
    if not ranges:
        return own_type, own
    offer = list(dict.fromkeys((own_type, BIN, JSON, TEXT, V2, APPLICATION_JSON)))
    chosen = _choose(ranges, offer)
    if chosen is None:
        raise _refuse_accept(offer)
    if chosen not in FORMATS or (chosen == own_type and chosen not in ranges):
        return chosen, own
    return chosen, FORMATS[chosen]


@lru_cache(_CACHE_ENTRIES)
def wants_problem(accept: str | None) -> bool:
    """Whether errors are to be RFC 9457 problems: only when the client names that type."""
    return _parse_accept(accept).get(PROBLEM_JSON, 0.0) > 0


def choose_error_type(accept: str | None) -> str:
    """The content type of an error; never an error itself, what nothing fits gets V2."""
    if wants_problem(accept):
        return PROBLEM_JSON
    try:
        return choose_management_type(accept)
    except ApiError:
        return V2


def _bare_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _parse_accept(accept: str | None) -> dict[str, float]:
    # Media range in lower case -> quality. Parameters other than q do not narrow a range: our types
    # have none. Of a range that stands twice the better quality counts.
    ranges: dict[str, float] = {}
    for element in _ELEMENT.findall(accept or ""):
        bare = _RANGE.match(element)
        if bare is None:
            continue
        name = "*/*" if bare[1] == "*" else bare[1].lower()
        quality = _QUALITY.search(_QUOTED_STRING.sub('""', element))
        try:
            rated = 1.0 if quality is None else min(float(quality[1]), 1.0)
        except ValueError:
            rated = 1.0
        ranges[name] = max(rated, ranges.get(name, 0.0))
    return ranges


def _rate(ranges: dict[str, float], media_type: str) -> tuple[float, int]:
    for name, specificity in (
        (media_type, _EXACT),
        ("application/*", _SUBTYPES),
        ("*/*", _ANYTHING),
    ):
        quality = ranges.get(name)
        if quality is not None:
            return quality, specificity
    return 0.0, _ANYTHING


def _choose(ranges: dict[str, float], offer: list[str]) -> str | None:
    # What only a wildcard covers is as specific as another such: the order of the offer decides.
    ratings = {name: _rate(ranges, name) for name in offer}
    best = max(offer, key=lambda name: (ratings[name][0], ratings[name][1] == _EXACT))
    return best if ratings[best][0] > 0 else None


def _refuse_content_type(content_type: str | None, accepted: Iterable[str]) -> ApiError:
    given = "No Content-Type" if not content_type else f"Content-Type {content_type[:100]!a}"
    return ApiError(415, f"{given}: not supported here. Accepted are: {', '.join(accepted)}")


def _refuse_accept(offer: list[str]) -> ApiError:
    return ApiError(406, f"Nothing on offer satisfies Accept. On offer are: {', '.join(offer)}")
