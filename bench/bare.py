"""
The reference for produce: an ASGI app that reads the body and answers a constant of the same size.

Run as a process: `bare.py PORT BYTES`. uvicorn with the settings of the proxy.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.types import Receive, Scope, Send


def main(port: int, answer_bytes: int) -> None:
    """Serve until a signal."""
    answer = b"x" * answer_bytes
    headers = [
        (b"content-type", b"application/vnd.kafka.v2+json"),
        (b"content-length", b"%d" % answer_bytes),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
