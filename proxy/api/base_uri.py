"""
Under which address a client reached us, for `base_uri` of a new consumer instance.

The configured address, else the request's own scheme and Host; `Forwarded` (RFC 7239) and
`X-Forwarded-*` count only when they come from a trusted proxy. Source: CONTRACT.md section 4.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote

from starlette.types import Scope

from proxy.api.limits import header
from proxy.config import Settings

_PAIR = re.compile(r'(?:^|;)\s*(\w+)=(?:"([^"]*)"|([^;,"]*))')
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,255}")


def instance_uri(scope: Scope, settings: Settings, group: str, instance: str) -> str:
    """The absolute address of an instance, its names percent-encoded."""
    path = f"/consumers/{quote(group, safe='')}/instances/{quote(instance, safe='')}"
    return base_uri(scope, settings) + path


def base_uri(scope: Scope, settings: Settings) -> str:
    """The address of this service without a slash at its end."""
    if settings.advertised_url is not None:
        return settings.advertised_url.rstrip("/")
    scheme, host, prefix = scope["scheme"], _own_host(scope), settings.root_path
    if _is_trusted(scope, settings.trusted_proxies):
        forwarded = _forwarded(scope)
        if forwarded.get("proto") in ("http", "https"):
            scheme = forwarded["proto"]
        if _HOST.fullmatch(forwarded.get("host", "")):
            host = forwarded["host"]
        if _PREFIX.fullmatch(forwarded.get("prefix", "").rstrip("/")):
            prefix = forwarded.get("prefix", prefix).rstrip("/")
    return f"{scheme}://{host}{prefix}"


def _own_host(scope: Scope) -> str:
    host = (header(scope, b"host") or b"").decode("latin-1")
    if _HOST.fullmatch(host):
        return host
    address, port = scope.get("server") or ("localhost", None)
    if ":" in address:
        address = f"[{address}]"
    return f"{address}:{port}" if port is not None else address


def _forwarded(scope: Scope) -> dict[str, str]:
    """What the nearest client-facing proxy says: the first element of each list."""
    standard = header(scope, b"forwarded")
    if standard is not None:
        first = standard.decode("latin-1").split(",")[0]
        return {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(first)}
    found = {}
    for name in ("proto", "host", "port", "prefix"):
        field = header(scope, f"x-forwarded-{name}".encode())
        if field is not None:
            found[name] = field.decode("latin-1").split(",")[0].strip()
    if "host" in found and "port" in found and ":" not in found["host"]:
        found["host"] += ":" + found["port"]
    return found


def _is_trusted(scope: Scope, networks: tuple[str, ...]) -> bool:
    client = scope.get("client")
    if not networks or client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    return any(address in network for network in _parsed(networks))


@lru_cache(4)
def _parsed(
    networks: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)
