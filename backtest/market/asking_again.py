"""A sample of the stored data, requested again: does the source still give the same?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests

from backtest.base.errors import UsageError
from backtest.base.units import UNIT_MS, format_ms
from backtest.market.archive import read_archive_file
from backtest.market.archive_host import ArchiveHost, file_of
from backtest.market.ccxt_source import Venue
from backtest.market.importing import ARCHIVE_VENUE
from backtest.market.paging import RefusedError
from backtest.market.record import Instrument
from backtest.market.rows import Key, Rows
from backtest.market.spans import Span
from backtest.market.store import Store
from backtest.market.transport import Patience

ARCHIVE = "archive"
WINDOWS = 3
WINDOW_ROWS = 100
# Rows of a window count once they have come; what a short answer lacks is requested again.
TURNS = 4
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Reasked:
    """Result of the sample of one series.

    `asked` rows were stored in the windows; of these, `same` came back equal, `differing` with other values, `lacking`
    not at all; `more` came that are not stored (times, milliseconds). `note` says why nothing was requested.
    """

    key: Key
    asked: int = 0
    same: int = 0
    differing: tuple[int, ...] = ()
    lacking: tuple[int, ...] = ()
    more: tuple[int, ...] = ()
    note: str = ""

    def line(self) -> str:
        """One line for people."""
        if self.note:
            return f"{self.key}: {self.note}"
        counts = f"{len(self.differing):,} differ, {len(self.lacking):,} are not there, {len(self.more):,} more are"
        return f"{self.key}: {self.asked:,} rows asked for again, {self.same:,} the same, {counts}"

    def problems(self) -> list[str]:
        """One sentence per way in which the source differs."""
        told = (
            (self.differing, "rows differ at the source: fetch them into another `store` and compare"),
            (self.lacking, "rows are not at the source any more, or never were: look where they came from"),
            (self.more, "rows of the source are not stored: backtest fetch --again asks for them"),
        )
        return [
            f"{self.key}: {len(times):,} {words}; {', '.join(map(format_ms, times[:_SHOWN]))}"
            for times, words in told
            if times
        ]


def reask_venue(
    store: Store,
    keys: Sequence[Key],
    identifier: str,
    options: Mapping[str, Any],
    windows: int = WINDOWS,
    seed: int = 1,
    *,
    patience: Patience | None = None,
    insecure: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Reasked]:
    """A few windows of each series of a venue, drawn by `seed` from what it still serves; other series are left out.

    Raises
    ------
    UsageError
        If none of the series is of the venue, or others can change the data on the way and `insecure` is not set.
    MarketError
        If the venue does not answer.
    """
    ours = [key for key in keys if key.venue == identifier]
    if not ours:
        raise UsageError(f"nothing that was chosen is of {identifier}: name a venue of the store, or archive")
    venue = Venue(identifier, options, threading.Event(), patience or Patience(), insecure=insecure)
    if venue.route.words:
        say(f"{identifier}: {venue.route.words}")
    venue.load(tuple(Instrument.parse(key.symbol) for key in ours))
    now, chance = venue.now_ms(), np.random.default_rng(seed)
    return [_of_venue(store, key, venue, now, windows, chance) for key in ours]


def _of_venue(store: Store, key: Key, venue: Venue, now_ms: int, windows: int, chance: np.random.Generator) -> Reasked:
    listed = venue.listed(key.symbol)
    if listed is None:
        return Reasked(key, note=f"not asked for: {venue.identifier} does not list it now")
    period = "1h" if key.series == "funding" else key.timeframe
    if why := venue.refusal(key.series, listed.instrument.kind, period, now_ms, now_ms):
        return Reasked(key, note=f"not asked for: {why}")
    oldest = venue.oldest_ms(key.series, listed.instrument.kind, period, now_ms)
    stored = store.read(key, max(oldest, 0))
    rows = min(WINDOW_ROWS, max(venue.limit(key.series, listed.instrument) // 2, 1))

    def ask(span: Span) -> Rows:
        return venue.page(key.series, listed, period, span[0], span[1] - 1).rows

    return _compared(key, stored, _windows(stored, rows, windows, chance), ask)


def reask_archive(
    store: Store, keys: Sequence[Key], host: ArchiveHost, windows: int = WINDOWS, seed: int = 1
) -> list[Reasked]:
    """A few days of each series of Binance, from files of the public archive, each checked against its CHECKSUM.

    Raises
    ------
    UsageError
        If none of the series is of Binance.
    MarketError
        If the archive does not answer.
    """
    ours = [key for key in keys if key.venue in ARCHIVE_VENUE.values()]
    if not ours:
        raise UsageError("nothing that was chosen is of binance or binanceusdm, whose archive it is")
    chance = np.random.default_rng(seed)
    found = []
    with requests.Session() as session:
        for key in ours:
            stored = store.read(key)
            day, month = UNIT_MS["d"], key.series == "funding"
            starts = np.unique(stored.time_ms // day * day)
            picked = starts[np.sort(chance.permutation(starts.size)[:windows])]
            parts: dict[Span, Rows] = {}
            for file in dict.fromkeys(
                file_of(key, start, "monthly" if month else "daily") for start in picked.tolist()
            ):
                content = host.verified(session, file)
                if content is not None:
                    told = read_archive_file(file.name, file.name, content, key.series)
                    times = told.rows.time_ms
                    whole = [(int(times[0]), int(times[-1]) + 1)] if times.size else []
                    parts |= {span: told.rows.between(*span) for span in told.covered or whole}
            if not parts:
                found.append(Reasked(key, note="not asked for: the archive has no file of it"))
                continue
            found.append(_compared(key, stored, list(parts), parts.__getitem__))
    return found


def _windows(stored: Rows, rows: int, windows: int, chance: np.random.Generator) -> list[Span]:
    """Disjoint spans of equally many stored rows, the first and last rows included."""
    blocks = -(-stored.time_ms.size // rows)
    picked = np.sort(chance.permutation(blocks)[:windows])
    spans = [(block * rows, min((block + 1) * rows, stored.time_ms.size) - 1) for block in picked.tolist()]
    return [(int(stored.time_ms[first]), int(stored.time_ms[last]) + 1) for first, last in spans]


def _compared(key: Key, stored: Rows, windows: Sequence[Span], ask: Callable[[Span], Rows]) -> Reasked:
    asked = same = 0
    differing: list[int] = []
    lacking: list[int] = []
    more: list[int] = []
    if not windows:
        return Reasked(key, note="not asked for: the source serves nothing of the time that is stored")
    for span in windows:
        own, found = stored.between(*span), Rows.empty(key.series)
        for _ in range(TURNS):
            try:
                found = found.joined(ask(span).between(*span))
            except RefusedError as refusal:
                return Reasked(key, note=f"not asked for: {refusal}")
            if np.isin(own.time_ms, found.time_ms).all():
                break
        _, ours, theirs = np.intersect1d(own.time_ms, found.time_ms, return_indices=True)
        equal = np.isclose(own.values[ours], found.values[theirs], rtol=1e-9, atol=0, equal_nan=True).all(axis=1)
        asked, same = asked + own.time_ms.size, same + int(equal.sum())
        differing += own.time_ms[ours][~equal].tolist()
        lacking += np.setdiff1d(own.time_ms, found.time_ms).tolist()
        more += np.setdiff1d(found.time_ms, own.time_ms).tolist()
    return Reasked(key, asked, same, tuple(differing), tuple(lacking), tuple(more))
