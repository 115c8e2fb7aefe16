"""Binance's public archive over HTTP: every file is checked against its checksum and kept in the same store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import requests

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import UNIT_MS, from_ms, to_ms
from backtest.market.archive import METRICS_PERIOD, read_archive_file
from backtest.market.archive_host import ARCHIVE_URL, ArchiveFile, ArchiveHost, file_of
from backtest.market.download import Fetched, Report, SeriesProgress, Silent, all_of, clock_ms, remember
from backtest.market.importing import ARCHIVE_VENUE
from backtest.market.quality import SNAP_MS
from backtest.market.recipe import Recipe
from backtest.market.record import Instrument
from backtest.market.rows import UNITS, Key
from backtest.market.spans import Span, intersect, subtract
from backtest.market.store import Store
from backtest.market.transport import Patience

Fetch = Callable[[ArchiveFile], bytes | None]
"""Maps a file of the archive to its content, None if there is no such file."""


@dataclass(slots=True)
class ArchiveDownloader:
    """A recipe for a Binance venue, the store it fills, and the address of the archive; `run` does everything.

    Files that had gaps are fetched again only with `again`: their checksum proves them complete.
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
        """Fetch the files of what the store does not have yet: months first, days where there is no file of the month.

        Raises
        ------
        UsageError
            Before the first request, if the archive does not have the venue of the recipe.
        MarketError
            If the archive does not answer, or a file fails its checksum repeatedly.
        KeyboardInterrupt
            When interrupted; every file received is in the store.
        """
        if self.recipe.exchange.id not in ARCHIVE_VENUE.values():
            raise UsageError(
                f"`archive` is Binance's, but the exchange is {self.recipe.exchange.id!r}: use binanceusdm or binance"
            )
        keys, _ = self.wanted_keys(), self.host
        with ThreadPoolExecutor(self.workers, thread_name_prefix="archive") as pool:
            fetched = all_of([pool.submit(self._series, key) for key in keys], pool, self.stop)
        remember(self.store, self.recipe, tuple(dict.fromkeys(key.symbol for key in keys)))
        return Report(tuple(fetched), ())

    @property
    def host(self) -> ArchiveHost:
        """The archive itself; raises `UsageError` for a connection on which others can change the data."""
        return ArchiveHost(self.url, self.patience, self.stop, self.insecure)

    def wanted_keys(self) -> list[Key]:
        """Every series that the recipe asks for; raises `UsageError` for spot on a venue that has only swaps."""
        keys = []
        venue = self.recipe.exchange.id
        for symbol in self.recipe.symbols:
            kind = Instrument.parse(symbol).kind
            if kind == "spot" and venue != ARCHIVE_VENUE["spot"]:
                raise UsageError(f"{symbol} is spot, but {venue} has none: use `exchange=binance`")
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
                    self._month(partial(self.host.verified, session), key, month, result)
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

    def _month(self, fetch: Fetch, key: Key, month: tuple[int, int], result: Fetched) -> None:
        start, end = self._span(key)
        if not self._wanted(key, max(month[0], start), min(month[1], end)):
            return
        if self._by_month(key, month) and self._file(fetch, key, file_of(key, month[0], "monthly"), result):
            return
        if key.series == "funding":
            return
        for day in range(max(month[0], start // UNIT_MS["d"] * UNIT_MS["d"]), min(month[1], end), UNIT_MS["d"]):
            if self._wanted(key, max(day, start), min(day + UNIT_MS["d"], end)):
                self._file(fetch, key, file_of(key, day, "daily"), result)

    def _by_month(self, key: Key, month: tuple[int, int]) -> bool:
        """Whether the archive has, or will have, a file of the whole month: it is over, and monthly files exist."""
        return month[1] <= self.clock() and key.series not in ("oi", "ratios")

    def pieces(self, key: Key) -> tuple[list[Span], int, int]:
        """Time of a series that would be requested, and the least and greatest number of files that hold it."""
        start, end = self._span(key)
        spans, least, most = [], 0, 0
        for month in _months(start, end):
            inside = max(month[0], start), min(month[1], end)
            if not self._wanted(key, *inside):
                continue
            spans.append(inside)
            days = -(-(inside[1] - inside[0]) // UNIT_MS["d"])
            whole = self._by_month(key, month)
            least += 1 if whole or key.series == "funding" else days
            most += days + whole if key.series != "funding" else 1
        return spans, least, most

    def _wanted(self, key: Key, start_ms: int, end_ms: int) -> bool:
        if self.store.missing(key, start_ms, end_ms):
            return True
        return self.again and bool(self.store.doubtful(key, start_ms, end_ms, old=True))

    def _file(self, fetch: Fetch, key: Key, file: ArchiveFile, result: Fetched) -> bool:
        content = fetch(file)
        if content is None:
            return False
        found = read_archive_file(
            self.host.address(file), file.name, content, key.series, vouched=file.end_ms <= self.clock()
        )
        done = self.store.append(
            key,
            found.rows,
            source=self.host.source,
            units=UNITS[key.series],
            covered=found.covered,
            gaps=found.gaps,
            now_ms=self.clock(),
        )
        result.rows += done.new
        result.differing += done.differing
        result.problem = "; ".join(filter(None, (result.problem, *done.set_aside)))
        return True


def _months(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    first = from_ms(start_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while to_ms(first) < end_ms:
        following = (first + timedelta(days=32)).replace(day=1)
        yield to_ms(first), to_ms(following)
        first = following
