"""Hosts, proxies and encryption: what the options of a recipe change about where data come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from backtest.base.errors import ConfigError

PROXIES = ("proxy", "proxyUrl", "proxy_url", "httpProxy", "http_proxy", "httpsProxy", "https_proxy", "socksProxy",
           "socks_proxy")  # fmt: skip
_PREFIXED = ("proxy", "proxyUrl", "proxy_url")
"""Proxies that receive every request with its address appended; encryption depends on the proxy's own address."""
MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests to a venue go.

    Attributes
    ----------
    elsewhere : tuple of str
        Clauses about differences from the venue's own addresses; empty if there are none.
    unsafe : tuple of str
        Those through which anybody on the way can change the data.
    """

    elsewhere: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """One clause for a manifest or a line of output; empty if requests go to the venue's own addresses."""
        return "; ".join(self.elsewhere)


def route_of(exchange: Any, plain: Any) -> Route:
    """Route of a ccxt exchange with options, compared with the same exchange without any."""
    elsewhere, unsafe = [], []
    hosts = {_host(address) for address in _addresses(plain)}
    changed = [address for address in _addresses(exchange) if _host(address) not in hosts]
    if changed:
        named = list(dict.fromkeys(_shown(address) for address in changed))
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        elsewhere.append(
            f"asked at {', '.join(named[:MOST_NAMED])}{more}, not at {', '.join(sorted(hosts)[:MOST_NAMED])}"
        )
    for address in dict.fromkeys(_shown(address) for address in _addresses(exchange) if is_open(address)):
        unsafe.append(f"{address} is plain http")
    for name in PROXIES:
        value = getattr(exchange, name, None)
        if value:
            elsewhere.append(f"through {name} {_shown(str(value))}")
            if name in _PREFIXED and is_open(str(value)):
                unsafe.append(f"{name} {_shown(str(value))} is plain http")
    if exchange.verify is not True:
        what = (
            "certificates are not verified" if not exchange.verify else f"certificates of {str(exchange.verify)[:100]}"
        )
        (unsafe if not exchange.verify else elsewhere).append(what)
    return Route((*elsewhere, *(one for one in unsafe if one not in elsewhere)), tuple(unsafe))


def check_route(route: Route, insecure: bool, what: str) -> None:
    """Raise `ConfigError` for a route on which anybody can change the data, unless `insecure` was given."""
    if route.unsafe and not insecure:
        raise ConfigError(
            f"{what}: {'; '.join(route.unsafe)}, so that anybody on the way can change the data: leave that out, or "
            "accept it with `insecure`"
        )


def is_open(address: str) -> bool:
    """Whether an address uses plain http to another machine."""
    parts = urlsplit(address)
    return parts.scheme.lower() in ("http", "ws") and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _addresses(exchange: Any) -> list[str]:
    """Addresses of a venue's API, with host names filled in."""
    urls = exchange.urls if isinstance(exchange.urls, Mapping) else {}
    host = str(exchange.hostname or "")
    return [text.replace("{hostname}", host) for text in _texts(urls.get("api"))]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _texts(one)


def _host(address: str) -> str:
    try:
        return (urlsplit(address if "//" in address else f"//{address}").hostname or "").lower()
    except ValueError:
        return address[:80]


def _shown(address: str) -> str:
    """Scheme, host and port only: the address of a proxy may contain a password."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return address[:80]
    return f"{parts.scheme}{'://' if parts.scheme else ''}{(parts.hostname or '')[:100]}{port}"
