"""The store of downloaded series: Parquet files under one root, each series with a manifest that is its truth.

    ROOT/bybit/ZEC_USDT_USDT/ohlcv/1h/manifest.json
                                     /1755216000000-1764543600000-5b2c09d1e7a4.parquet

A file is named after its first and last time and its content, and never changes. An append writes a new file,
then replaces the manifest; both are atomic and under the series' lock, so that a killed process loses at most
what it was writing and two processes take turns. `compact` folds the small files into one a year: the same
rows give the same files, however they came. A row that is stored is never replaced or dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from backtest.documents import first_complaint, read_json, table_of, user_path
from backtest.errors import MarketError, UsageError, near_miss, shortened
from backtest.fields import Milliseconds
from backtest.market.locks import LOCK_SECONDS, locked
from backtest.market.quality import EARLIEST_MS, LATEST_MS
from backtest.market.rows import (
    COLUMNS,
    SETTLED,
    Key,
    Rows,
    SeriesName,
    StoredFile,
    read_files,
    replace_file,
    write_file,
)
from backtest.market.spans import Span, merged, subtract
from backtest.units import format_ms, timeframe_ms

MANIFEST = "manifest.json"
PENDING_MOST = 64
_NAME = re.compile(r"\d+-\d+-[0-9a-f]{12}\.parquet")
_PERIOD = re.compile(rf"[1-9][0-9]{{0,8}}[smhdw]|{SETTLED}", re.ASCII)
_FOLDER = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)(?:_([A-Z0-9]+))?")


class Manifest(BaseModel):
    """What a series holds; `coverage` and `gaps` are [start, end) spans in milliseconds UTC.

    Coverage is what was asked and answered; a gap is inside it and was confirmed to be empty at the source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    venue: str
    symbol: str
    series: SeriesName
    timeframe: str
    units: dict[str, str]
    sources: tuple[str, ...]
    fetched_at: str
    coverage: tuple[tuple[Milliseconds, Milliseconds], ...] = ()
    gaps: tuple[tuple[Milliseconds, Milliseconds], ...] = ()
    files: tuple[StoredFile, ...] = ()
    sha256: str = ""

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def key(self) -> Key:
        """What the series is of."""
        return Key(self.venue, self.symbol, self.series, self.timeframe)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: rows that were new, and rows that differ from what was stored (which was kept)."""

    new: int
    differing: int


def store_root(option: str | Path | None = None) -> Path:
    """Root of the store: the option, else BACKTEST_STORE, else the platform's folder for user data."""
    chosen = option or os.environ.get("BACKTEST_STORE")
    if chosen:
        root = user_path(str(chosen))
        if os.path.exists(root) and not os.path.isdir(root):
            raise UsageError(f"store {root} is no folder: choose another with --store or BACKTEST_STORE")
        return root
    import platformdirs

    return Path(platformdirs.user_data_dir("backtest", appauthor=False)) / "store"


@dataclass(frozen=True, slots=True)
class Store:
    """The series below one root; nothing is created before the first append."""

    root: Path

    def contents(self) -> tuple[Key, ...]:
        """Every series that has a manifest, in order."""
        found = []
        for path in self.root.glob(f"*/*/*/*/{MANIFEST}"):
            venue, symbol, series, timeframe = path.parent.relative_to(self.root).parts
            match = _FOLDER.fullmatch(symbol)
            if match and series in COLUMNS and _PERIOD.fullmatch(timeframe):
                base, quote, settle = match.groups()
                found.append(Key(venue, f"{base}/{quote}" + (f":{settle}" if settle else ""), series, timeframe))
        return tuple(sorted(found))

    def manifests(self, venue: str | None = None, symbol: str | None = None) -> tuple[Manifest, ...]:
        """Manifests of all series, or of one venue or symbol of it.

        Raises
        ------
        UsageError
            Where the store has nothing of a venue or symbol that was named.
        """
        keys = self.contents()
        for what, wanted, have in (
            ("venue", venue, {key.venue for key in keys}),
            ("symbol", symbol, {key.symbol for key in keys if venue in (None, key.venue)}),
        ):
            if wanted is not None and wanted not in have:
                raise UsageError(f"the store {self.root} has no {what} {wanted!r}; {near_miss(wanted, have)}")
        chosen = [key for key in keys if venue in (None, key.venue) and symbol in (None, key.symbol)]
        return tuple(one for key in chosen if (one := self.manifest(key)) is not None)

    def manifest(self, key: Key) -> Manifest | None:
        """Manifest of a series; None where there is no such series.

        Raises
        ------
        MarketError
            If it cannot be read or is not what this version writes.
        """
        path = self.root / key.path / MANIFEST
        if not os.path.lexists(path):
            return None
        try:
            manifest = Manifest(**table_of(read_json(path, MarketError), path, MarketError))
        except ValidationError as error:
            raise MarketError(
                f"{path}: {first_complaint(error, Manifest.model_fields)}; move its folder away and fetch it again"
            ) from None
        # What is written, or cleared away, goes by the key: it must not lead out of the series' own folder.
        if manifest.key != key:
            raise MarketError(
                f"{path} is of {shortened(str(manifest.key))}, not {key}: move its folder away and fetch it again"
            )
        return manifest

    def read(self, key: Key, start_ms: int | None = None, end_ms: int | None = None) -> Rows:
        """Rows of a series with time in [start, end).

        Raises
        ------
        MarketError
            If the series is not there, or a file of it is missing or damaged.
        """
        for _ in range(5):
            manifest = self.manifest(key)
            if manifest is None:
                raise MarketError(f"{key} is not in the store {self.root}: fetch it first")
            wanted = [
                file
                for file in manifest.files
                if (end_ms is None or file.first_ms < end_ms) and (start_ms is None or file.last_ms >= start_ms)
            ]
            try:
                rows = read_files(self.root / key.path, wanted, key.series)
            except FileNotFoundError as problem:
                # Another process has compacted the series between the two reads; the manifest names the new files.
                missing = problem.filename
                continue
            return rows.between(EARLIEST_MS if start_ms is None else start_ms, LATEST_MS if end_ms is None else end_ms)
        raise MarketError(f"{missing} is missing though {MANIFEST} lists it: restore it, or move the folder away")

    def append(
        self,
        key: Key,
        rows: Rows,
        *,
        source: str,
        units: dict[str, str],
        covered: Sequence[Span] = (),
        gaps: Sequence[Span] = (),
    ) -> Appended:
        """Add rows and what they cover; rows of a time that is stored already are left as they are.

        Raises
        ------
        MarketError
            If the store cannot be written, is locked for too long, or holds the series in other units.
        """
        rows = rows if rows.time_ms.size else Rows.empty(key.series)
        _check_rows(rows, key)
        folder = self.root / key.path
        with self._locked(key):
            manifest = self.manifest(key) or Manifest(
                venue=key.venue,
                symbol=key.symbol,
                series=key.series,
                timeframe=key.timeframe,
                units=units,
                sources=(),
                fetched_at="",
            )
            if manifest.units != units:
                raise MarketError(f"{key} is stored in {manifest.units}, but {source} has {units}: use another --store")
            new, differing = self._new_rows(key, rows, manifest)
            files = (*manifest.files, write_file(folder, new, key.series)) if new.time_ms.size else manifest.files
            coverage = merged([*manifest.coverage, *covered])
            all_gaps = self._empty(key, merged([*manifest.gaps, *gaps]), new, manifest)
            changed = manifest.model_copy(
                update={
                    "sources": tuple(dict.fromkeys((*manifest.sources, source))),
                    "coverage": coverage,
                    "gaps": all_gaps,
                    "files": files,
                    "sha256": _digest(files),
                }
            )
            if changed != manifest:
                self._write_manifest(changed)
                if len(files) > PENDING_MOST:
                    self._compact(changed)
        return Appended(int(new.time_ms.size), differing)

    def compact(self, key: Key) -> None:
        """Fold the files of a series into one a year; what an interrupted append left behind is cleared away.

        Nothing is written, or locked, where there is nothing to do.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return
        with self._written():
            if _is_compact(manifest) and not self._leftovers(manifest):
                return
        with self._locked(key):
            manifest = self.manifest(key)
            if manifest is not None:
                self._compact(manifest)

    def problems(self, key: Key) -> list[str]:
        """One sentence for each way in which a series is not what its manifest says; empty where it is whole."""
        try:
            manifest = self.manifest(key)
            if manifest is None:
                return [f"{key}: no manifest"]
            sentences = [
                f"{key}: {file.name} was changed: its sha256 is not the one in {MANIFEST}"
                for file in manifest.files
                if hashlib.sha256((self.root / key.path / file.name).read_bytes()).hexdigest() != file.sha256
            ]
            if manifest.sha256 != _digest(manifest.files):
                sentences.append(f"{key}: {MANIFEST} was changed: its sha256 is not that of its files")
            if sentences:
                return sentences
            rows = self.read(key)
            if rows.time_ms.size != manifest.rows:
                sentences.append(f"{key}: {rows.time_ms.size} rows of different times, but {manifest.rows} are listed")
            inside = [span for span in manifest.gaps if rows.between(*span).time_ms.size]
            sentences += [f"{key}: rows inside the gap from {format_ms(start)}" for start, _ in inside]
        except (MarketError, OSError) as problem:
            return [f"{key}: {problem}"]
        return sentences

    def missing(self, key: Key, start_ms: int, end_ms: int) -> tuple[Span, ...]:
        """Spans of [start, end) that the series does not cover yet."""
        manifest = self.manifest(key)
        return subtract([(start_ms, end_ms)], manifest.coverage if manifest else ())

    def _empty(self, key: Key, gaps: Sequence[Span], new: Rows, manifest: Manifest) -> tuple[Span, ...]:
        """The gaps less every slot in which a row stands: another source, or a later day, has filled it."""
        length = 1 if key.series == "funding" else timeframe_ms(key.timeframe)
        filled: list[Span] = []
        for span in gaps:
            parts = [new.between(*span)]
            if span not in manifest.gaps and manifest.files:
                parts.append(self.read(key, *span))
            filled += [(int(time), int(time) + length) for part in parts for time in part.time_ms]
        return subtract(gaps, filled)

    def _new_rows(self, key: Key, rows: Rows, manifest: Manifest) -> tuple[Rows, int]:
        if rows.time_ms.size == 0:
            return rows, 0
        first, last = int(rows.time_ms[0]), int(rows.time_ms[-1])
        if not any(file.first_ms <= last and file.last_ms >= first for file in manifest.files):
            return rows, 0
        stored = self.read(key, first, last + 1)
        place = np.searchsorted(stored.time_ms, rows.time_ms)
        known = np.zeros(rows.time_ms.size, dtype=np.bool_)
        inside = place < stored.time_ms.size
        known[inside] = stored.time_ms[place[inside]] == rows.time_ms[inside]
        same = np.isclose(stored.values[place[known]], rows.values[known], rtol=1e-9, atol=0, equal_nan=True)
        return Rows(rows.time_ms[~known], rows.values[~known]), int((~same.all(axis=1)).sum())

    def _compact(self, manifest: Manifest) -> None:
        folder = self.root / manifest.key.path
        years = _by_year(manifest)
        whole = {year: group[0] for year, group in years.items() if len(group) == 1 and _is_year(group[0])}
        if not _is_compact(manifest):
            rows = self.read(manifest.key)
            for year in years.keys() - whole.keys():
                part = rows.between(_year_start(year), _year_start(year + 1))
                if part.time_ms.size:
                    whole[year] = write_file(folder, part, manifest.series)
            files = tuple(whole[year] for year in sorted(whole))
            self._write_manifest(manifest.model_copy(update={"files": files, "sha256": _digest(files)}), manifest)
            manifest = manifest.model_copy(update={"files": files})
        for path in self._leftovers(manifest):
            with suppress(FileNotFoundError):
                path.unlink()

    def _leftovers(self, manifest: Manifest) -> list[Path]:
        """Files of the store's own making that the manifest does not list."""
        kept = {file.name for file in manifest.files}
        return [
            path
            for path in (self.root / manifest.key.path).iterdir()
            if path.suffix == ".partial" or (_NAME.fullmatch(path.name) and path.name not in kept)
        ]

    def _write_manifest(self, manifest: Manifest, same_fetch: Manifest | None = None) -> None:
        stamp = same_fetch.fetched_at if same_fetch else datetime.now(UTC).isoformat(timespec="seconds")
        document = manifest.model_copy(update={"fetched_at": stamp}).model_dump(mode="json")
        text = json.dumps(document, indent=1) + "\n"
        replace_file(self.root / manifest.key.path / MANIFEST, text.encode())

    @contextmanager
    def _locked(self, key: Key) -> Iterator[None]:
        folder = self.root / key.path
        with self._written():
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with locked(folder / "lock", LOCK_SECONDS):
                    yield
            except TimeoutError:
                raise MarketError(f"{key} is locked by another process for {LOCK_SECONDS:g} s: let it finish") from None

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise MarketError(
                f"the store {self.root} cannot be written ({problem.strerror or problem}): choose another with --store"
            ) from None


def _check_rows(rows: Rows, key: Key) -> None:
    if rows.values.shape != (rows.time_ms.size, len(COLUMNS[key.series])):
        raise MarketError(f"{key}: values have shape {rows.values.shape}, but {rows.time_ms.size} times")
    if (np.diff(rows.time_ms) <= 0).any():
        raise MarketError(f"{key}: rows are not in order of time, or two have one time")


def _digest(files: Sequence[StoredFile]) -> str:
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()


def _year(moment_ms: int) -> int:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).year


def _by_year(manifest: Manifest) -> dict[int, list[StoredFile]]:
    years: dict[int, list[StoredFile]] = {}
    for file in manifest.files:
        for year in range(_year(file.first_ms), _year(file.last_ms) + 1):
            years.setdefault(year, []).append(file)
    return years


def _is_compact(manifest: Manifest) -> bool:
    ordered = [file.first_ms for file in manifest.files]
    return ordered == sorted(ordered) and all(
        len(group) == 1 and _is_year(group[0]) for group in _by_year(manifest).values()
    )


def _year_start(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)


def _is_year(file: StoredFile) -> bool:
    return _year(file.first_ms) == _year(file.last_ms)
