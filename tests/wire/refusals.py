"""What a refusal says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.errors import ApiError


def refusal(parse: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """The code and message of the `ApiError` that the call must raise."""
    with pytest.raises(ApiError) as refused:
        parse(*arguments)
    return refused.value.code, refused.value.message
