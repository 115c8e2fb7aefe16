"""Binance's public archive on the web: one file at a time, each checked against its checksum."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import requests

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import from_ms
from backtest.market.archive import FOLDERS, LARGEST, archive_name, verify_checksum
from backtest.market.record import Instrument
from backtest.market.rows import Key
from backtest.market.transport import Patience, Stopped, retry_after, utc_now
from backtest.market.venue_trust import is_open

ARCHIVE_URL = "https://data.binance.vision/data"
SOURCE = "Binance public archive"
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the archive: its folder below the root, its name, and the end of the period it covers."""

    folder: str
    name: str
    end_ms: int


@dataclass(frozen=True, slots=True)
class ArchiveHost:
    """Address of the archive, and how often requests are retried; plain http is refused unless `insecure`."""

    url: str = ARCHIVE_URL
    patience: Patience = field(default_factory=Patience)
    stop: threading.Event = field(default_factory=threading.Event)
    insecure: bool = False

    def __post_init__(self) -> None:
        if is_open(self.url) and not self.insecure:
            raise UsageError(
                f"`archive_url` {self.url[:200]} is plain http, so that anybody on the way can change the data and "
                "their checksums: use https, or accept it with `insecure`"
            )

    @property
    def source(self) -> str:
        """Where the data came from, for the manifest."""
        return SOURCE if self.url == ARCHIVE_URL else f"{SOURCE}, asked at {self.url[:200]}"

    def address(self, file: ArchiveFile) -> str:
        """Address of a file."""
        return f"{self.url.rstrip('/')}/{file.folder}/{file.name}"

    def verified(self, session: requests.Session, file: ArchiveFile) -> bytes | None:
        """Content of a file, confirmed by its checksum; None if there is no such file.

        Raises
        ------
        MarketError
            If the archive does not answer, or the file fails its checksum repeatedly.
        """
        address, name = self.address(file), file.name
        for turn in range(1, self.patience.doubtful + 1):
            content = self._get(session, address)
            if content is None:
                return None
            checksum = self._get(session, f"{address}.CHECKSUM")
            if checksum is None:
                raise MarketError(f"{address} has no CHECKSUM beside it: take it from another mirror (`archive_url`)")
            try:
                verify_checksum(name, content, checksum.decode("utf-8", "replace"))
            except MarketError:
                if turn == self.patience.doubtful:
                    raise
                self._sleep(self.patience.seconds(turn))
            else:
                return content
        return None

    def _get(self, session: requests.Session, address: str) -> bytes | None:
        """Body at an address, None if there is no such file."""
        reason = ""
        for turn in range(1, self.patience.attempts + 1):
            pause = self.patience.seconds(turn)
            try:
                with session.get(address, timeout=SECONDS, stream=True) as response:
                    if response.status_code == 404:
                        return None
                    if response.status_code == 200:
                        body = b"".join(_bounded(response, address))
                        told = response.headers.get("Content-Length")
                        if told is None or "Content-Encoding" in response.headers or told.strip() == str(len(body)):
                            return body
                        reason = f"{len(body)} of {told} bytes"
                    else:
                        reason = f"HTTP {response.status_code}"
                        if response.status_code in (401, 403, 451):
                            raise MarketError(f"{address} is refused ({reason}): set a proxy or use `archive_url`")
                        asked = retry_after(response.headers.get("Retry-After"), utc_now())
                        pause = min(pause if asked is None else asked, self.patience.venue_longest)
            except requests.RequestException as problem:
                reason = type(problem).__name__
            self._sleep(pause)
        raise MarketError(f"{address} failed {self.patience.attempts} times, last with {reason}: run it again later")

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped


def _bounded(response: requests.Response, address: str) -> Iterator[bytes]:
    size = 0
    for chunk in response.iter_content(1 << 20):
        size += len(chunk)
        if size > LARGEST:
            raise MarketError(f"{address} is larger than {LARGEST >> 20} MiB, which no file of the archive is")
        yield chunk


def file_of(key: Key, start_ms: int, pace: str) -> ArchiveFile:
    """The file of a series that begins at a time; `pace` is `monthly` or `daily`."""
    instrument = Instrument.parse(key.symbol)
    code = f"{instrument.base}{instrument.quote}"
    root = "spot" if instrument.kind == "spot" else "futures/um"
    date = from_ms(start_ms).strftime("%Y-%m" if pace == "monthly" else "%Y-%m-%d")
    of_series = "oi" if key.series == "ratios" else key.series
    kind = next(folder for folder, series in FOLDERS.items() if series == of_series)
    bars = of_series not in ("oi", "funding")
    name = f"{code}-{key.timeframe if bars else kind}-{date}.zip"
    told = archive_name(name)
    folder = f"{root}/{pace}/{kind}/{code}" + (f"/{key.timeframe}" if bars else "")
    return ArchiveFile(folder, name, told.end_ms if told else 0)
