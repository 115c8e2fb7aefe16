"""Reliable requests: a rate limit shared by all threads, complete answers, retries by status and code."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import ccxt
import requests

from backtest.base.errors import MarketError
from backtest.market.paging import RefusedError

Result = TypeVar("Result")
RetryVerdict = Literal["again", "limited", "doubtful", "never"]

# Codes in the document say more than the HTTP status, which is often 200.
LIMIT_CODES = {"10006", "10018", "10429", "-1003", "-1015", "50011", "50061", "429000", "TOO_MANY_REQUESTS"}
AGAIN_CODES = {
    *("10000", "10016", "10019"),
    *("-1000", "-1001", "-1006", "-1007", "-1008", "-1016"),
    *("50001", "50004", "50013", "50026", "500000"),
}
DOUBTFUL_CODES = {"10001"}
DOUBTFUL_STATUS = {403, 451}
REFUSED_STATUS = {400, 422}
CREDIT_SECONDS = 0.1
LARGEST_ANSWER = 128 * 2**20
_ABSURD = re.compile(rb"\d[eE][-+]?\d{4,}|\d{400}|\"\w*[pP]recision\":\s*\"?[-+]?\d{4,}")
# Errors of ccxt's parsers on a document without the documented fields or types.
STUMBLES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Stopped(Exception):  # noqa: N818
    """The download was interrupted while a request was waiting."""


class MalformedAnswer(Exception):  # noqa: N818
    """A body with status 200 that does not match the venue's documentation."""


@dataclass(frozen=True, slots=True)
class LastReply:
    """The last answer of one session; `rows` and `nulls` count those of its longest list."""

    status: int
    code: str
    retry_after: float | None
    rows: int = 0
    nulls: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a request is retried: seconds double from `first` to `longest`, `doubtful` is for
    answers that are more likely final (403, 451, Bybit's 10001), and no wait for a venue exceeds `venue_longest`.
    """

    attempts: int = 9
    doubtful: int = 4
    first: float = 0.5
    longest: float = 30.0
    venue_longest: float = 300.0

    def seconds(self, turn: int) -> float:
        """Wait before the turn-th repetition."""
        return min(self.first * 2.0 ** (turn - 1), self.longest)


class RateGate:
    """Spaces the requests of all threads to one venue; an unused slot is not saved."""

    def __init__(self, unit_ms: float, stop: threading.Event) -> None:
        self._unit = unit_ms / 1000
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, cost: float | None = None) -> None:
        """Take the next slot, `cost` rate-limit units long, and sleep until it starts."""
        with self._lock:
            slot = max(self._next, time.monotonic() - CREDIT_SECONDS)
            self._next = slot + self._unit * (1 if cost is None else cost)
        self.sleep(slot - time.monotonic())

    @property
    def unit_seconds(self) -> float:
        """Length of one rate-limit unit."""
        return self._unit

    def pause(self, seconds: float) -> None:
        """Block all requests for a number of seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Sleep; raises `Stopped` at once if the download is interrupted."""
        if self._stop.wait(max(seconds, 0)):
            raise Stopped


class CheckedSession(requests.Session):
    """A session that remembers each answer and refuses a successful status with a body that is not data.

    ccxt reads HTML, truncated JSON, an empty body or `null` with status 200 as an empty list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer: LastReply | None = None
        self.wants_rows = False
        self.told_ms: int | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; raises `MalformedAnswer` if the body of a successful answer is not a document of the API."""
        self.answer = None
        response = super().request(*args, **{**kwargs, "stream": True})
        if response.history and _leads_away(response.history[0].url, response.url):
            response.close()
            raise MalformedAnswer(f"a redirection from {response.history[0].url[:100]} to {response.url[:100]}")
        body = bytearray()
        for chunk in response.iter_content(1 << 20):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                response.close()
                raise MalformedAnswer(f"HTTP {response.status_code} with more than {LARGEST_ANSWER >> 20} MiB")
        response._content = bytes(body)
        self.told_ms = _told_ms(response.headers)
        document, complaint = _document(response.content)
        rows = _longest_list(document)
        self.answer = LastReply(
            response.status_code,
            _code(document),
            retry_after(response.headers.get("Retry-After"), utc_now()),
            len(rows or ()),
            any(_has_null(row) for row in rows or ()),
        )
        if response.status_code == 200:
            if complaint:
                raise MalformedAnswer(f"HTTP 200 with {complaint}")
            if self.wants_rows and rows is None and self.answer.code in ("", "0"):
                raise MalformedAnswer("HTTP 200 with a document that has no list of rows")
        return response


def _told_ms(headers: Mapping[str, str]) -> int | None:
    """The time of an answer from its own headers, including its age in caches; None if they do not contain it."""
    try:
        told = parsedate_to_datetime(headers["Date"])
        return int(told.timestamp() * 1000) + 1000 * min(int(headers.get("Age", "0")), 10**9)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _leads_away(first: str, last: str) -> bool:
    """Whether a redirection leads to another host, or out of encryption."""
    one, other = urlsplit(first), urlsplit(last)
    return one.hostname != other.hostname or (one.scheme == "https" and other.scheme != "https")


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, in either of its forms; None if there is none."""
    if header is None:
        return None
    try:
        seconds = float(header)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError, IndexError):
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def verdict(problem: Exception, answer: LastReply | None) -> RetryVerdict:
    """Whether a failed request is worth repeating: by status and code first, by ccxt's class last."""
    if isinstance(problem, (MalformedAnswer, *STUMBLES)):
        return "again"
    if answer is None:
        return "again" if isinstance(problem, ccxt.NetworkError) else "never"
    if answer.status in (418, 429) or answer.code in LIMIT_CODES:
        return "limited"
    if answer.status in (408, 425) or answer.status >= 500 or answer.code in AGAIN_CODES:
        return "again"
    if answer.status in DOUBTFUL_STATUS or answer.code in DOUBTFUL_CODES:
        return "doubtful"
    return "again" if answer.status == 200 and isinstance(problem, ccxt.NetworkError) else "never"


def call(what: str, ask: Callable[[], Result], session: CheckedSession, gate: RateGate, patience: Patience) -> Result:
    """`ask()`, repeated while that makes sense.

    Raises
    ------
    MarketError
        Naming `what`, the last answer and the way out, if the venue refuses or the retries are exhausted.
    Stopped
        If the download is interrupted.
    """
    failures = {"again": 0, "limited": 0, "doubtful": 0, "never": 0}
    while True:
        try:
            return ask()
        except (ccxt.BaseError, MalformedAnswer, *STUMBLES) as problem:
            answer = session.answer
            kind = verdict(problem, answer)
            failures[kind] += 1
            most = {"never": 1, "doubtful": patience.doubtful}.get(kind, patience.attempts)
            if failures[kind] >= most or sum(failures.values()) >= 2 * patience.attempts:
                refused = kind == "never" and answer is not None and answer.status in REFUSED_STATUS
                final = RefusedError if refused else MarketError
                raise final(_farewell(what, problem, answer, sum(failures.values()))) from None
            seconds = patience.seconds(sum(failures.values()))
            if answer is not None and answer.retry_after is not None:
                if answer.retry_after > patience.venue_longest:
                    raise MarketError(
                        f"{what}: the venue asks to wait {answer.retry_after:.0f} s (HTTP {answer.status}): "
                        "run the same command again after that; it goes on where it stopped"
                    ) from None
                seconds = answer.retry_after
            if kind == "limited":
                gate.pause(seconds)
            gate.sleep(seconds)


def _farewell(what: str, problem: Exception, answer: LastReply | None, failures: int) -> str:
    # ccxt's error names the address, its cause names the problem.
    reason = " ".join(f"{problem} {problem.__cause__ or ''}".split())[:300]
    if answer is not None and answer.status in DOUBTFUL_STATUS:
        return (
            f"{what}: the venue refuses requests from here (HTTP {answer.status}: {reason}): set a proxy or another "
            "host in the recipe's [exchange.options] or with `exchange_config`, or choose another venue"
        )
    status = "no answer" if answer is None else f"HTTP {answer.status}" + (f", code {answer.code}" * bool(answer.code))
    times = "once" if failures == 1 else f"{failures} times"
    return f"{what} failed {times}, last with {status}: {reason}: run the same command again to go on from here"


def _document(body: bytes) -> tuple[Any, str]:
    """The JSON document of a body, or its fault in words."""
    if not body.strip():
        return None, "an empty body"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None, f"a body that is not whole JSON ({body[:40]!r})"
    if absurd := _ABSURD.search(body):
        return None, f"the number {absurd[0][:40].decode()}, which ccxt would write out digit by digit"
    return (document, "") if isinstance(document, (dict, list)) else (None, f"{str(document)[:40]} as its body")


def _code(document: Any) -> str:
    if isinstance(document, dict):
        for name in ("retCode", "ret_code", "code", "error_code", "label"):
            if isinstance(document.get(name), (str, int)):
                return str(document[name])
    return ""


def _longest_list(document: Any, depth: int = 4) -> list[Any] | None:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict) or depth == 0:
        return None
    found = [rows for value in document.values() if (rows := _longest_list(value, depth - 1)) is not None]
    return max(found, key=len, default=None)


def _has_null(row: Any) -> bool:
    if isinstance(row, dict):
        return None in row.values()
    return isinstance(row, list) and None in row
