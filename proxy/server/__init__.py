"""The HTTP server: uvicorn with our signal (`serve.py`) and our connections (`protocol.py`)."""

from proxy.server.serve import serve

__all__ = ["serve"]
