"""Files of a series that its manifest does not list: adopted if complete, else quarantined, never deleted.

They remain after a kill between two writes, or when a folder was merged with another or its manifest was lost.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from backtest.base.errors import MarketError
from backtest.base.units import timeframe_ms
from backtest.market.manifest import MANIFEST, Manifest, empty_manifest, files_digest, without
from backtest.market.quality import Int64s
from backtest.market.rows import (
    FILE_NAME,
    Key,
    Rows,
    StoredFile,
    new_rows,
    read_files,
    row_count,
    told_by_file,
    write_file,
)
from backtest.market.spans import merged, slots

QUARANTINE = "quarantine"
ADOPTED = "files without a manifest"


@dataclass(frozen=True, slots=True)
class Recovered:
    """Result for unlisted files: rows `adopted`, and why each file in the quarantine was `set_aside`.

    `spent` are the files whose rows are all in listed files now; `clear` deletes them once `manifest` is written.
    """

    manifest: Manifest | None = None
    adopted: int = 0
    set_aside: tuple[str, ...] = ()
    spent: tuple[Path, ...] = ()

    def clear(self) -> None:
        """Delete the files of which every row is in another file."""
        for path in self.spent:
            with suppress(FileNotFoundError):
                path.unlink()


@dataclass(slots=True)
class _Found:
    files: list[StoredFile]
    units: dict[str, str]
    adopted: int = 0
    set_aside: list[str] = field(default_factory=list)
    spent: list[Path] = field(default_factory=list)
    times: list[Int64s] = field(default_factory=list)


def orphans(folder: Path, manifest: Manifest | None) -> list[Path]:
    """Files with names of the store's form that the manifest does not list, in order."""
    listed = {file.name for file in manifest.files} if manifest else set()
    with suppress(FileNotFoundError, NotADirectoryError):
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if FILE_NAME.fullmatch(entry.name) and entry.name not in listed]
        return [folder / name for name in sorted(names)]
    return []


def recovered(folder: Path, key: Key, manifest: Manifest | None) -> Recovered:
    """Adopt the orphans of a folder, under its lock; the caller writes the manifest, then calls `clear`.

    A file whose name is not the hash of its content, that belongs to another series or has other units, or of which a
    row differs from a listed one, is moved into the folder `quarantine`; if it is complete, its new rows are kept.
    """
    found = _Found(list(manifest.files) if manifest else [], manifest.units if manifest else {})
    for path in orphans(folder, manifest):
        try:
            rows, units, entry = _whole(path, key)
        except (MarketError, OSError) as problem:
            _set_aside(found, path, str(problem))
            continue
        if found.units and units != found.units:
            _set_aside(found, path, f"it is in {units}, the series in {found.units}")
            continue
        found.units = units
        _take_in(found, folder, path, key, rows, entry)
    if not found.files and manifest is None:
        return Recovered(None, 0, tuple(found.set_aside))
    length = 1 if key.series == "funding" else timeframe_ms(key.timeframe)
    held = merged(span for times in found.times for span in slots(times, length))
    base = manifest or empty_manifest(key, found.units, (ADOPTED,))
    files = tuple(found.files)
    changed = base.model_copy(
        update={
            "files": files,
            "sha256": files_digest(files),
            "gaps": without(base.gaps, held),
            "coverage": base.coverage if key.series == "funding" else merged([*base.coverage, *held]),
        }
    )
    return Recovered(changed, found.adopted, tuple(found.set_aside), tuple(found.spent))


def _whole(path: Path, key: Key) -> tuple[Rows, dict[str, str], StoredFile]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    first, last, short = path.name.removesuffix(".parquet").split("-")
    if digest[:12] != short:
        raise MarketError("its name is not the hash of its content")
    own, units = told_by_file(path, key)
    if not own:
        raise MarketError("it is of another series")
    entry = StoredFile(name=path.name, sha256=digest, rows=row_count(path), first_ms=int(first), last_ms=int(last))
    rows = read_files(path.parent, [entry], key.series)
    if (int(rows.time_ms[0]), int(rows.time_ms[-1])) != (entry.first_ms, entry.last_ms):
        raise MarketError("its name tells other times than it holds")
    return rows, units, entry


def _take_in(found: _Found, folder: Path, path: Path, key: Key, rows: Rows, entry: StoredFile) -> None:
    new, differing = new_rows(folder, rows, key.series, found.files)
    if new.time_ms.size == rows.time_ms.size:
        found.files.append(entry)
    elif new.time_ms.size:
        found.files.append(write_file(folder, new, key, found.units))
    found.adopted += int(new.time_ms.size)
    found.times.append(new.time_ms)
    if differing:
        _set_aside(found, path, f"{differing:,} of its rows differ from those that {MANIFEST} lists")
    elif new.time_ms.size < rows.time_ms.size:
        found.spent.append(path)


def _set_aside(found: _Found, path: Path, why: str) -> None:
    aside = path.parent / QUARANTINE
    aside.mkdir(exist_ok=True)
    os.replace(path, aside / path.name)
    found.set_aside.append(f"{path} was moved to {QUARANTINE}: {why}")
