"""Points in time as requests write them."""

from __future__ import annotations

import datetime
import re

from proxy.errors import ApiError

# RFC 3339 section 5.6, `date-time`: "T" and "Z" may be lower case, the offset is not optional.
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()


def parse_timestamp(timestamp: int | str, path: str) -> int:
    """
    Epoch milliseconds of what a body has at `path`: them, or an RFC 3339 date and time.

    Raises: ApiError 422
    """
    timestamp_ms = parse_date_time(timestamp) if isinstance(timestamp, str) else timestamp
    if timestamp_ms is None:
        raise ApiError(
            422, f"{path}: neither epoch milliseconds nor an RFC 3339 date and time since 1970"
        )
    return timestamp_ms


def parse_date_time(text: str) -> int | None:
    """
    Epoch milliseconds of an RFC 3339 date and time, or None when it is none or lies before 1970.

    Finer fractions than milliseconds are cut off. Second 60 (a leap second) is second 0 of the next
    minute, as POSIX time counts.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    try:
        days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    offset_hours, offset_minutes = int(match[9] or 0), int(match[10] or 0)
    if hour > 23 or minute > 59 or second > 60 or offset_hours > 23 or offset_minutes > 59:
        return None
    offset_min = (offset_hours * 60 + offset_minutes) * (-1 if match[8] == "-" else 1)
    seconds = ((days * 24 + hour) * 60 + minute - offset_min) * 60 + second
    timestamp_ms = seconds * 1000 + int((match[7] or "")[:3].ljust(3, "0"))
    return timestamp_ms if timestamp_ms >= 0 else None
