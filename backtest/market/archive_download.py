"""Binance's public archive over HTTP: every file against its checksum, into the same store as everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import requests

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import UNIT_MS, from_ms, to_ms
from backtest.market.archive import FOLDERS, LARGEST, METRICS_PERIOD, archive_name, read_archive_file, verify_checksum
from backtest.market.download import Fetched, Report, SeriesProgress, Silent, all_of, clock_ms, remember
from backtest.market.importing import ARCHIVE_VENUE
from backtest.market.quality import SNAP_MS
from backtest.market.recipe import Recipe
from backtest.market.record import Instrument
from backtest.market.rows import UNITS, Key
from backtest.market.spans import Span, intersect, subtract
from backtest.market.store import Store
from backtest.market.transport import Patience, Stopped, retry_after, utc_now
from backtest.market.venue_trust import is_open

ARCHIVE_URL = "https://data.binance.vision/data"
SOURCE = "Binance public archive"
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the archive: its folder below the root, its name, and when the time that it is of is over."""

    folder: str
    name: str
    end_ms: int


@dataclass(slots=True)
class ArchiveDownloader:
    """A recipe of a Binance venue, the store it fills, and where the archive is; `run` does everything.

    Files that had gaps are fetched again only with `again`: their checksum vouches for them.
    """

    recipe: Recipe
    store: Store
    url: str = ARCHIVE_URL
    workers: int = 4
    patience: Patience = field(default_factory=Patience)
    progress: SeriesProgress = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], int] = clock_ms
    again: bool = False
    insecure: bool = False

    def run(self) -> Report:
        """Fetch the files of what the store does not have yet; months first, days where a month is not there.

        Raises
        ------
        UsageError
            Before the first request, where the archive is not of the recipe's venue.
        MarketError
            Where the archive does not answer, or a file fails its checksum again and again.
        KeyboardInterrupt
            When interrupted; every file that came is in the store.
        """
        if self.recipe.exchange.id not in ARCHIVE_VENUE.values():
            raise UsageError(
                f"--archive is Binance's, but the exchange is {self.recipe.exchange.id!r}: use binanceusdm or binance"
            )
        if is_open(self.url) and not self.insecure:
            raise UsageError(
                f"--archive-url {self.url[:200]} is plain http, so that anybody on the way can change the data and "
                "their checksums: use https, or accept it with --insecure"
            )
        keys = self._keys()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="archive") as pool:
            fetched = all_of([pool.submit(self._series, key) for key in keys], pool, self.stop)
        remember(self.store, self.recipe, tuple(dict.fromkeys(key.symbol for key in keys)))
        return Report(tuple(fetched), ())

    def _keys(self) -> list[Key]:
        keys = []
        venue = self.recipe.exchange.id
        for symbol in self.recipe.symbols:
            kind = Instrument.parse(symbol).kind
            if kind == "spot" and venue != ARCHIVE_VENUE["spot"]:
                raise UsageError(f"{symbol} is spot, but {venue} has none: use --exchange binance")
            for series in self.recipe.series:
                if series == "ohlcv" or kind == "swap":
                    period = METRICS_PERIOD if series in ("oi", "ratios") else self.recipe.timeframe
                    keys.append(Key.of(venue, symbol, series, period))
        return keys

    def _span(self, key: Key) -> Span:
        start, end = self.recipe.span
        # The settlement at the end, a little late perhaps, belongs to the last bar.
        late = SNAP_MS + 1 if key.series == "funding" else 0
        return start or 0, self.clock() if end is None else min(end + late, self.clock())

    def _series(self, key: Key) -> Fetched:
        result = Fetched(key)
        start, end = self._span(key)
        with requests.Session() as session:
            self.progress.begin(key, end - start)
            try:
                for month in _months(start, end):
                    self._month(session, key, month, result)
                    self.progress.advance(key, min(month[1], end) - max(month[0], start), result.rows)
            except MarketError as problem:
                result.problem = str(problem)
            finally:
                self.store.compact(key)
        manifest = self.store.manifest(key)
        result.missing = self.store.missing(key, start, end)
        if manifest is not None and result.missing and not result.problem:
            # Before the first row there was nothing to archive.
            first = min((file.first_ms for file in manifest.files), default=end)
            result.missing = subtract(result.missing, [(start, first)])
            result.problem = "the archive has no file of it" if result.missing else ""
        elif manifest is None and not result.problem:
            result.problem = "the archive has no file of it"
        result.gaps = intersect(manifest.gap_spans if manifest else (), [(start, end)])
        return result

    def _month(self, session: requests.Session, key: Key, month: tuple[int, int], result: Fetched) -> None:
        start, end = self._span(key)
        if not self._wanted(key, max(month[0], start), min(month[1], end)):
            return
        whole = month[1] <= self.clock() and key.series not in ("oi", "ratios")
        if whole and self._file(session, key, _file(key, month[0], "monthly"), result):
            return
        if key.series == "funding":
            return
        for day in range(max(month[0], start // UNIT_MS["d"] * UNIT_MS["d"]), min(month[1], end), UNIT_MS["d"]):
            if self._wanted(key, max(day, start), min(day + UNIT_MS["d"], end)):
                self._file(session, key, _file(key, day, "daily"), result)

    def _wanted(self, key: Key, start_ms: int, end_ms: int) -> bool:
        if self.store.missing(key, start_ms, end_ms):
            return True
        return self.again and bool(self.store.doubtful(key, start_ms, end_ms, old=True))

    def _file(self, session: requests.Session, key: Key, file: _File, result: Fetched) -> bool:
        address = f"{self.url.rstrip('/')}/{file.folder}/{file.name}"
        content = self._verified(session, address, file.name)
        if content is None:
            return False
        found = read_archive_file(address, file.name, content, key.series, vouched=file.end_ms <= self.clock())
        done = self.store.append(
            key,
            found.rows,
            source=SOURCE if self.url == ARCHIVE_URL else f"{SOURCE}, asked at {self.url[:200]}",
            units=UNITS[key.series],
            covered=found.covered,
            gaps=found.gaps,
            now_ms=self.clock(),
        )
        result.rows += done.new
        result.differing += done.differing
        result.problem = "; ".join(filter(None, (result.problem, *done.set_aside)))
        return True

    def _verified(self, session: requests.Session, address: str, name: str) -> bytes | None:
        """A file that its checksum confirms, None where there is no such file."""
        for turn in range(1, self.patience.doubtful + 1):
            content = self._get(session, address)
            if content is None:
                return None
            checksum = self._get(session, f"{address}.CHECKSUM")
            if checksum is None:
                raise MarketError(f"{address} has no CHECKSUM beside it: take it from another mirror (--archive-url)")
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
        """Body of an address, None where there is no such file."""
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
                            raise MarketError(f"{address} is refused ({reason}): set a proxy or use --archive-url")
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


def _months(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    first = from_ms(start_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while to_ms(first) < end_ms:
        following = (first + timedelta(days=32)).replace(day=1)
        yield to_ms(first), to_ms(following)
        first = following


def _file(key: Key, start_ms: int, pace: str) -> _File:
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
    return _File(folder, name, told.end_ms if told else 0)
