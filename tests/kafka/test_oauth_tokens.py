"""Tokens for SASL/OAUTHBEARER, from a file and from a token endpoint that may be ill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.errors import AuthenticationFailedError

from proxy.config import Settings
from proxy.config.secret import Secret
from proxy.kafka.oauth_tokens import OAuthTokens

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


@asynccontextmanager
async def endpoint(answers: list[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A token endpoint that gives these answers in turn; its address, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        asked.append(head + await reader.readexactly(length))
        writer.write(answers[len(asked) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/token", asked


def settings_for(url: str) -> Settings:
    """Client credentials with characters that must be encoded."""
    return Settings(
        sasl_oauth_token_endpoint_url=url,
        sasl_oauth_client_id="me:too",
        sasl_oauth_client_secret=Secret("a b"),
        sasl_oauth_scope="kafka all",
    )


async def test_a_token_is_fetched_once_for_most_of_its_life() -> None:
    """By the client credentials grant; whoever asks meanwhile gets the same."""
    grant = OK + b'{"access_token":"t1","token_type":"Bearer","expires_in":3600}'
    async with endpoint([grant]) as (url, asked):
        tokens = OAuthTokens(settings_for(url))
        assert await asyncio.gather(*(tokens.token() for _ in range(5))) == 5 * ["t1"]
    [request] = asked
    # base64 of "me%3Atoo:a%20b": RFC 6749 section 2.3.1.
    assert b"Authorization: Basic bWUlM0F0b286YSUyMGI=" in request
    assert request.endswith(b"grant_type=client_credentials&scope=kafka+all")


async def test_a_life_that_is_told_as_text() -> None:
    """Some servers quote the number of seconds."""
    async with endpoint([OK + b'{"access_token":"t","expires_in":"3599"}']) as (url, _):
        tokens = OAuthTokens(settings_for(url))
        assert [await tokens.token(), await tokens.token()] == ["t", "t"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
        b"",
        OK + b"<html>",
        OK + b'{"expires_in":5}',
        OK + b'{"access_token":"t","expires_in":"soon"}',
    ],
)
async def test_an_endpoint_that_gives_no_token(answer: bytes) -> None:
    """It is an authentication failure, whatever it is: aiokafka would die of anything else."""
    async with endpoint([answer, OK + b'{"access_token":"t2"}']) as (url, _):
        tokens = OAuthTokens(settings_for(url))
        with pytest.raises(AuthenticationFailedError):
            await tokens.token()
        assert await tokens.token() == "t2"


async def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    """It may be renewed by others; while it is missing, authentication fails."""
    file = tmp_path / "token"
    tokens = OAuthTokens(Settings(sasl_oauth_token_file=str(file)))
    read: Callable[[], Awaitable[str]] = tokens.token
    with pytest.raises(AuthenticationFailedError):
        await read()
    file.write_text("one\n")
    assert await read() == "one"
    file.write_text("two")
    assert await read() == "two"
