"""The pages of a workspace over loopback: read only, behind a token, for this server's own host names only."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from backtest.base.errors import BacktestError
from backtest.report.workspace_pages import Pages

LOOPBACK = "127.0.0.1"
_OWN = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# A report may come from others: without an origin of its own it cannot read the other pages, nor reach a network.
_REPORT = f"sandbox allow-scripts allow-downloads allow-popups; {_PAGE}"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class WorkspaceServer(ThreadingHTTPServer):
    """Serves pages on loopback at `address`, which holds the token that a browser then keeps as a cookie.

    A request is answered only where its Host is this server's own (a name that another site points at loopback is
    not), it is a GET or HEAD, and it brings the token.
    """

    daemon_threads = True

    def __init__(self, pages: Pages, port: int = 0, token: str = "") -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.pages = pages
        self.token = token or secrets.token_urlsafe(24)
        # One page is made at a time: they share matplotlib and the ledger's file.
        self.making = Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the Host header that are meant for it."""
        return frozenset(f"{name}:{self.port}" for name in (LOOPBACK, "localhost"))

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are shared by all ports of a host."""
        return f"backtest-{self.port}"


class _Handler(BaseHTTPRequestHandler):
    server: WorkspaceServer
    server_version, sys_version = "backtest", ""
    timeout = 30

    def do_GET(self) -> None:
        """Check who asks, then answer."""
        if self.headers.get("Host", "") not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server answers to 127.0.0.1 and localhost only")
            return
        address = urlsplit(self.path)
        asked = parse_qs(address.query, keep_blank_values=True, max_num_fields=100) if len(self.path) < 8000 else {}
        if self._right(asked.get("token", [""])[0]):
            self._enter()
        elif not self._right(self._kept()):
            self._refuse(HTTPStatus.FORBIDDEN, "the token is missing or wrong: open the address that was printed")
        else:
            self._answer(address.path, asked)

    do_HEAD = do_GET  # noqa: N815

    def _right(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.server.token.encode())

    def _kept(self) -> str:
        try:
            kept = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return kept.value if kept else ""

    def _enter(self) -> None:
        """Keep the token as a cookie, so that it stands in no address from here on."""
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/")
        self.send_header("Set-Cookie", f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/")
        self._end(0)

    def _answer(self, path: str, asked: dict[str, list[str]]) -> None:
        pages, name = self.server.pages, asked.get("name", [""])[0]
        made = {
            "/": (_OWN, pages.index),
            "/run": (_REPORT if pages.stored(name) else _PAGE, lambda: pages.run(name)),
            "/compare": (_PAGE, lambda: pages.compare(asked.get("run", []))),
            "/trials": (_PAGE, lambda: pages.trials(asked.get("trial", []))),
        }
        if path not in made:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        policy, page = made[path]
        try:
            with self.server.making:
                text = page()
        except BacktestError as problem:
            self._refuse(HTTPStatus.BAD_REQUEST, str(problem))
            return
        self._send(HTTPStatus.OK, text, "text/html", policy)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, f"{sentence}\n", "text/plain", "default-src 'none'")

    def _send(self, status: HTTPStatus, text: str, kind: str, policy: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", policy)
        self._end(len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _end(self, length: int) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: addresses may hold the token."""
