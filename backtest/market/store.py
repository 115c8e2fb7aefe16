"""The store of downloaded series: Parquet files under one root, each series described by its manifest.

    ROOT/bybit/ZEC_USDT_USDT/ohlcv/1h/manifest.json
                                     /1755216000000-1764543600000-5b2c09d1e7a4.parquet

A file is named after its first and last time and its content, and never changes. An append writes a new file for each
year of its rows, then replaces the manifest; each write is atomic, and all are under the lock of the series, so that a
killed process loses at most what it was writing and two processes take turns. `compact` merges the files of a year into
one: the same rows give the same files, however they arrived. A stored row is never replaced or dropped, and a manifest
never decides what is deleted: a file that none lists is adopted, or quarantined and named (`backtest.market.orphans`).
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from backtest.base.documents import user_path
from backtest.base.errors import MarketError, UsageError, near_miss
from backtest.base.locks import LOCK_SECONDS, locked
from backtest.base.units import format_ms, timeframe_ms
from backtest.market.manifest import (
    MANIFEST,
    Gap,
    Manifest,
    asked_again,
    empty_manifest,
    files_digest,
    manifest_text,
    read_manifest,
    with_remarks,
    without,
)
from backtest.market.orphans import QUARANTINE, Recovered, orphans, recovered
from backtest.market.quality import EARLIEST_MS, LATEST_MS
from backtest.market.rows import (
    COLUMNS,
    SETTLED,
    Key,
    Rows,
    StoredFile,
    new_rows,
    read_files,
    replace_file,
    write_file,
)
from backtest.market.spans import Span, intersect, merged, overlapping, slots, subtract

PENDING_MOST = 64
_PERIOD = re.compile(rf"[1-9][0-9]{{0,8}}[smhdw]|{SETTLED}", re.ASCII)
_FOLDER = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)(?:_([A-Z0-9]+))?")


@dataclass(frozen=True, slots=True)
class Appended:
    """Result of an append: new rows, rows that differ from the stored ones (which were kept), and sentences about
    unlisted files that were quarantined.
    """

    new: int
    differing: int
    set_aside: tuple[str, ...] = ()


def store_root(option: str | Path | None = None) -> Path:
    """Root of the store: the option, else BACKTEST_STORE, else the platform's user data folder."""
    chosen = option or os.environ.get("BACKTEST_STORE")
    if chosen:
        root = user_path(str(chosen))
        if os.path.exists(root) and not os.path.isdir(root):
            raise UsageError(f"store {root} is not a folder: choose another with `store` or BACKTEST_STORE")
        return root
    import platformdirs

    return Path(platformdirs.user_data_dir("backtest", appauthor=False)) / "store"


@dataclass(frozen=True, slots=True)
class Store:
    """The series under one root; nothing is created before the first append."""

    root: Path

    def contents(self) -> tuple[Key, ...]:
        """Every series that has a manifest, or files without one, in order."""
        found = []
        folders = {path.parent for path in self.root.glob(f"*/*/*/*/{MANIFEST}")}
        folders |= {path.parent for path in self.root.glob("*/*/*/*/*-*-*.parquet")}
        for folder in folders:
            venue, symbol, series, timeframe = folder.relative_to(self.root).parts
            match = _FOLDER.fullmatch(symbol)
            if match and series in COLUMNS and _PERIOD.fullmatch(timeframe):
                base, quote, settle = match.groups()
                found.append(Key(venue, f"{base}/{quote}" + (f":{settle}" if settle else ""), series, timeframe))
        return tuple(sorted(found))

    def manifests(self, venue: str | None = None, symbol: str | None = None) -> tuple[Manifest, ...]:
        """Manifests of all series, or of one venue or symbol; raises as `keys` and `manifest` do."""
        return tuple(one for key in self.keys(venue, symbol) if (one := self.manifest(key)) is not None)

    def keys(self, venue: str | None = None, symbol: str | None = None) -> tuple[Key, ...]:
        """All series, or those of one venue or symbol.

        Raises
        ------
        UsageError
            If the store has nothing of a venue or symbol that was named.
        """
        keys = self.contents()
        for what, wanted, have in (
            ("venue", venue, {key.venue for key in keys}),
            ("symbol", symbol, {key.symbol for key in keys if venue in (None, key.venue)}),
        ):
            if wanted is not None and wanted not in have:
                raise UsageError(f"the store {self.root} has no {what} {wanted!r}; {near_miss(wanted, have)}")
        return tuple(key for key in keys if venue in (None, key.venue) and symbol in (None, key.symbol))

    def manifest(self, key: Key) -> Manifest | None:
        """Manifest of a series, rebuilt from its files if it is lost; None if there is no such series.

        Raises
        ------
        MarketError
            If it cannot be read or is not in the format of this version.
        """
        manifest = self._listed(key)
        if manifest is None and orphans(self.root / key.path, None):
            self.recover(key)
            manifest = self._listed(key)
        return manifest

    def _listed(self, key: Key) -> Manifest | None:
        path = self.root / key.path / MANIFEST
        return read_manifest(path, key) if os.path.lexists(path) else None

    def recover(self, key: Key) -> Recovered:
        """Adopt the files of a series that its manifest does not list, and quarantine those that contradict it.

        Raises
        ------
        MarketError
            If the manifest cannot be read, or the store cannot be written.
        """
        if not orphans(self.root / key.path, self._listed(key)):
            return Recovered()
        with self._locked(key):
            return self._recover(key, self._listed(key))[1]

    def _recover(self, key: Key, manifest: Manifest | None) -> tuple[Manifest | None, Recovered]:
        folder = self.root / key.path
        if not orphans(folder, manifest):
            return manifest, Recovered()
        found = recovered(folder, key, manifest)
        if found.manifest is not None and found.manifest != manifest:
            self._write_manifest(found.manifest)
        found.clear()
        return found.manifest, found

    def read(self, key: Key, start_ms: int | None = None, end_ms: int | None = None) -> Rows:
        """Rows of a series with time in [start, end).

        Raises
        ------
        MarketError
            If the series is not in the store, or a file of it is missing or damaged.
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
                # Another process compacted the series between the two reads; the manifest names the new files.
                missing = problem.filename
                continue
            return rows.between(EARLIEST_MS if start_ms is None else start_ms, LATEST_MS if end_ms is None else end_ms)
        raise MarketError(
            f"{missing} is missing though {MANIFEST} lists it: restore it, or move {MANIFEST} away and run "
            "`backtest data check`, which takes in the files that are there"
        )

    def append(
        self,
        key: Key,
        rows: Rows,
        *,
        source: str,
        units: dict[str, str],
        covered: Sequence[Span] = (),
        gaps: Sequence[Span] = (),
        imported: str = "",
        remarks: Sequence[str] = (),
        now_ms: int | None = None,
    ) -> Appended:
        """Add rows and what they cover; rows at times already stored are not changed.

        `gaps` were requested and had no rows at `now_ms`, by default now. `imported` is the sha256 of the file that all
        these rows come from, `remarks` what the reader of a run has to know about them.

        Raises
        ------
        MarketError
            If the store cannot be written, is locked for too long, or holds the series in other units.
        """
        rows = rows if rows.time_ms.size else Rows.empty(key.series)
        _check_rows(rows, key)
        folder = self.root / key.path
        with self._locked(key):
            listed, found = self._recover(key, self._listed(key))
            manifest = listed or empty_manifest(key, units)
            if manifest.units != units:
                raise MarketError(f"{key} is stored in {manifest.units}, but {source} has {units}: use another `store`")
            new, differing = new_rows(folder, rows, key.series, manifest.files)
            files = (*manifest.files, *_new_files(folder, new, key, units))
            # A clock that was never set must not write a time that no manifest accepts.
            told_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
            asked_ms = min(max(told_ms, EARLIEST_MS), LATEST_MS - 1)
            known = (manifest.imported, (imported,) if imported and imported not in manifest.imported else ())
            changed = manifest.model_copy(
                update={
                    "sources": tuple(dict.fromkeys((*manifest.sources, source))),
                    "coverage": merged([*manifest.coverage, *covered]),
                    "gaps": self._gaps(key, gaps, new, manifest, asked_ms),
                    "files": files,
                    "imported": (*known[0], *known[1]),
                    "remarks": with_remarks(manifest.remarks, remarks) if remarks else manifest.remarks,
                    "sha256": files_digest(files),
                }
            )
            if changed != manifest:
                self._write_manifest(changed)
                if len(files) > PENDING_MOST:
                    self._compact(changed)
        return Appended(int(new.time_ms.size), differing, found.set_aside)

    def compact(self, key: Key) -> None:
        """Merge the files of a series into one per year; leftovers of an interrupted append are removed.

        Nothing is written or locked if there is nothing to do.
        """
        manifest = self.manifest(key)
        if manifest is None:
            return
        with self._written():
            folder = self.root / key.path
            if _is_compact(manifest) and not orphans(folder, manifest) and not any(folder.glob(".*.partial")):
                return
        with self._locked(key):
            manifest, _ = self._recover(key, self._listed(key))
            if manifest is not None:
                self._compact(manifest)

    def problems(self, key: Key) -> list[str]:
        """One sentence per difference between a series and its manifest; empty if there is none."""
        try:
            manifest = self.manifest(key)
            if manifest is None:
                return [f"{key}: no manifest"]
            sentences = [
                f"{key}: {file.name} was changed: its sha256 is not the one in {MANIFEST}"
                for file in manifest.files
                if hashlib.sha256((self.root / key.path / file.name).read_bytes()).hexdigest() != file.sha256
            ]
            if manifest.sha256 != files_digest(manifest.files):
                sentences.append(f"{key}: {MANIFEST} was changed: its sha256 is not that of its files")
            if sentences:
                return sentences
            rows = self.read(key)
            if rows.time_ms.size != manifest.rows:
                sentences.append(f"{key}: {rows.time_ms.size} rows of different times, but {manifest.rows} are listed")
            inside = [span for span in manifest.gap_spans if rows.between(*span).time_ms.size]
            sentences += [f"{key}: rows inside the gap from {format_ms(start)}" for start, _ in inside]
            aside = sorted(path.name for path in (self.root / key.path / QUARANTINE).glob("*"))
            sentences += [f"{key}: {QUARANTINE}/{name} was set aside: look at it, then take it away" for name in aside]
        except (MarketError, OSError) as problem:
            return [f"{key}: {problem}"]
        return sentences

    def missing(self, key: Key, start_ms: int, end_ms: int) -> tuple[Span, ...]:
        """Spans of [start, end) that the series does not cover yet."""
        manifest = self.manifest(key)
        return subtract([(start_ms, end_ms)], manifest.coverage if manifest else ())

    def doubtful(self, key: Key, start_ms: int, end_ms: int, *, old: bool = False) -> tuple[Span, ...]:
        """Gaps of [start, end) to be requested again; with `old` also those that were requested often enough."""
        manifest = self.manifest(key)
        gaps = manifest.gaps if manifest else ()
        return intersect([(start_ms, end_ms)], [gap.span for gap in gaps if old or gap.young])

    def _gaps(self, key: Key, absent: Sequence[Span], new: Rows, manifest: Manifest, now_ms: int) -> tuple[Gap, ...]:
        """The gaps minus every slot that has a row: another source, or a later day, filled it."""
        gaps = asked_again(manifest.gaps, absent, now_ms)
        length = 1 if key.series == "funding" else timeframe_ms(key.timeframe)
        known = manifest.gap_spans
        filled: list[Span] = []
        for gap in gaps:
            parts = [new.between(*gap.span)]
            if manifest.files and subtract([gap.span], overlapping(known, gap.span)):
                parts.append(self.read(key, *gap.span))
            filled += [span for part in parts for span in slots(part.time_ms, length)]
        return without(gaps, filled) if filled else gaps

    def _compact(self, manifest: Manifest) -> None:
        folder = self.root / manifest.key.path
        if not _is_compact(manifest):
            years = _by_year(manifest)
            whole = {year: group[0] for year, group in years.items() if len(group) == 1 and _is_year(group[0])}
            for year in sorted(years.keys() - whole.keys()):
                part = self.read(manifest.key, _year_start(year), _year_start(year + 1))
                if part.time_ms.size:
                    whole[year] = write_file(folder, part, manifest.key, manifest.units)
            files = tuple(whole[year] for year in sorted(whole))
            self._write_manifest(manifest.model_copy(update={"files": files, "sha256": files_digest(files)}), manifest)
            for name in {file.name for file in manifest.files} - {file.name for file in files}:
                with suppress(FileNotFoundError):
                    (folder / name).unlink()
        for path in folder.glob(".*.partial"):
            with suppress(FileNotFoundError):
                path.unlink()

    def _write_manifest(self, manifest: Manifest, same_fetch: Manifest | None = None) -> None:
        stamp = same_fetch.fetched_at if same_fetch else datetime.now(UTC).isoformat(timespec="seconds")
        stamped = manifest.model_copy(update={"fetched_at": stamp})
        replace_file(self.root / manifest.key.path / MANIFEST, manifest_text(stamped.model_dump(mode="json")))

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
                f"the store {self.root} cannot be written ({problem.strerror or problem}): choose another with `store`"
            ) from None


def _check_rows(rows: Rows, key: Key) -> None:
    if rows.values.shape != (rows.time_ms.size, len(COLUMNS[key.series])):
        raise MarketError(f"{key}: values have shape {rows.values.shape}, but {rows.time_ms.size} times")
    if (np.diff(rows.time_ms) <= 0).any():
        raise MarketError(f"{key}: rows are not in order of time, or two have one time")


def _year(moment_ms: int) -> int:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).year


def _new_files(folder: Path, rows: Rows, key: Key, units: dict[str, str]) -> list[StoredFile]:
    """New files of rows, one for each year; none is left if one of them cannot be written."""
    files: list[StoredFile] = []
    try:
        for part in _parts(rows):
            files.append(write_file(folder, part, key, units))
    except BaseException:
        for file in files:
            with suppress(OSError):
                (folder / file.name).unlink()
        raise
    return files


def _parts(rows: Rows) -> Iterator[Rows]:
    """Rows of each year that has any."""
    if rows.time_ms.size:
        for year in range(_year(int(rows.time_ms[0])), _year(int(rows.time_ms[-1])) + 1):
            part = rows.between(_year_start(year), _year_start(year + 1))
            if part.time_ms.size:
                yield part


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
