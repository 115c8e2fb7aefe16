"""The manifest of a stored series: a JSON text that carries its own hash, so that every changed bit is noticed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from backtest.base.documents import first_complaint, read_json, read_whole, table_of
from backtest.base.errors import MarketError, shortened
from backtest.base.fields import Milliseconds
from backtest.base.units import DAY_MS, to_ms
from backtest.market.rows import Key, SeriesName, StoredFile
from backtest.market.spans import Span, intersect, merged, overlapping, subtract

MANIFEST = "manifest.json"
# A gap is accepted after this many requests, the first and the last at least this far apart.
ASKED_LEAST = 3
ASKED_APART_MS = DAY_MS
REMARKS_MOST = 100
_LEFT_OUT = re.compile(r"and (\d+) more remarks")
_OWN_HASH = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_AGAIN = "move the file away and run `backtest data check`: its rows are adopted, and what they cover is fetched again"


class Gap(NamedTuple):
    """Time [start, end) for which the source has no rows, and how often, when first and when last it was requested."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    asked: int
    first_asked_ms: Milliseconds
    last_asked_ms: Milliseconds

    @property
    def span(self) -> Span:
        """Start and end only."""
        return self.start_ms, self.end_ms

    @property
    def young(self) -> bool:
        """Whether it must be requested again: too few requests so far, or all within too short a time."""
        return self.asked < ASKED_LEAST or self.last_asked_ms - self.first_asked_ms < ASKED_APART_MS


class Manifest(BaseModel):
    """Contents of a series; `coverage` is [start, end) spans in milliseconds UTC.

    Coverage is what was requested and answered; a gap lies inside it and had no rows at every request. `imported` are
    the sha256 of whole files that need not be read again, `remarks` are repairs, skipped rows and notes about files,
    for the reader of a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    venue: str
    symbol: str
    series: SeriesName
    timeframe: str
    units: dict[str, str]
    sources: tuple[str, ...]
    fetched_at: str
    coverage: tuple[tuple[Milliseconds, Milliseconds], ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: tuple[StoredFile, ...] = ()
    imported: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def key(self) -> Key:
        """The key of the series."""
        return Key(self.venue, self.symbol, self.series, self.timeframe)

    @property
    def gap_spans(self) -> tuple[Span, ...]:
        """The gaps as disjoint spans."""
        return merged(gap.span for gap in self.gaps)

    def summary(self) -> dict[str, Any]:
        """The series in `backtest data list --json`: everything but its files, the gaps as spans."""
        document = self.model_dump(mode="json", exclude={"files", "imported", "gaps", "remarks"})
        askings = [list(gap) for gap in self.gaps]
        return document | {"gaps": [list(span) for span in self.gap_spans], "askings": askings, "rows": self.rows}


def empty_manifest(key: Key, units: dict[str, str], sources: tuple[str, ...] = ()) -> Manifest:
    """Manifest of a series without rows."""
    return Manifest(
        venue=key.venue,
        symbol=key.symbol,
        series=key.series,
        timeframe=key.timeframe,
        units=units,
        sources=sources,
        fetched_at="",
    )


def with_remarks(known: tuple[str, ...], new: Iterable[str]) -> tuple[str, ...]:
    """Remarks with new ones added, each once and up to a limit: the last then says how many are left out."""
    listed = [one for one in known if not _LEFT_OUT.fullmatch(one)]
    left = sum(int(told[1]) for one in known if (told := _LEFT_OUT.fullmatch(one)))
    listed += [one for one in dict.fromkeys(new) if one not in listed]
    left += max(len(listed) - REMARKS_MOST, 0)
    return (*listed[:REMARKS_MOST], *([f"and {left} more remarks"] if left else []))


def files_digest(files: Sequence[StoredFile]) -> str:
    """Hash of the rows: the hash of the hashes of their files."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()


def manifest_text(document: dict[str, Any]) -> bytes:
    """The JSON of a manifest, with the hash of all its other bytes in `manifest_sha256`."""
    text = (json.dumps({**document, "manifest_sha256": ""}, indent=1) + "\n").encode()
    own = hashlib.sha256(text).hexdigest().encode()
    return text.replace(b'"manifest_sha256": ""', b'"manifest_sha256": "' + own + b'"')


def read_manifest(path: Path, key: Key) -> Manifest:
    """Manifest of a series; one of format 1, which had no hash of its own, is trusted.

    Raises
    ------
    MarketError
        If a byte of it was changed, if it cannot be read, or if it belongs to another series.
    """
    text = read_whole(path, MarketError)
    own = _OWN_HASH.search(text)
    if own is not None:
        bare = text.replace(own[0], b'"manifest_sha256": ""', 1)
        if hashlib.sha256(bare).hexdigest().encode() != own[1]:
            raise MarketError(f"{path} was changed: its sha256 is not the one it carries; restore it, or {_AGAIN}")
        document = table_of(json.loads(text), path, MarketError)
    else:
        document = _upgraded(table_of(read_json(path, MarketError), path, MarketError), path)
    document.pop("manifest_sha256", None)
    try:
        manifest = Manifest(**document)
    except ValidationError as error:
        raise MarketError(f"{path}: {first_complaint(error, Manifest.model_fields)}; {_AGAIN}") from None
    # Files are written and deleted by the key, which must not lead out of the folder of the series.
    if manifest.key != key:
        raise MarketError(f"{path} is of {shortened(str(manifest.key))}, not {key}: {_AGAIN}")
    return manifest


def _upgraded(document: dict[str, Any], path: Path) -> dict[str, Any]:
    if document.get("format") != 1 or "manifest_sha256" in document:
        raise MarketError(f"{path} carries no sha256 of itself: restore it, or {_AGAIN}")
    try:
        asked = to_ms(datetime.fromisoformat(document["fetched_at"]))
        gaps = [(*span, 1, asked, asked) for span in document.get("gaps", [])]
    except (KeyError, TypeError, ValueError):
        raise MarketError(f"{path} does not say when it was fetched: {_AGAIN}") from None
    return {**document, "format": 2, "gaps": gaps}


def asked_again(gaps: Iterable[Gap], absent: Iterable[Span], now_ms: int) -> tuple[Gap, ...]:
    """Gaps after `absent` was requested and had no rows: counted once more, or for the first time."""
    absent = merged(absent)
    result = []
    for gap in gaps:
        beside = overlapping(absent, gap.span)
        same = [gap._replace(start_ms=start, end_ms=end) for start, end in subtract([gap.span], beside)]
        more = [
            Gap(start, end, gap.asked + 1, gap.first_asked_ms, max(gap.last_asked_ms, now_ms))
            for start, end in intersect([gap.span], beside)
        ]
        result += same + more
    new = subtract(absent, [gap.span for gap in result])
    return joined_gaps([*result, *(Gap(start, end, 1, now_ms, now_ms) for start, end in new)])


def without(gaps: Iterable[Gap], filled: Iterable[Span]) -> tuple[Gap, ...]:
    """Gaps minus the time that now has rows."""
    filled = merged(filled)
    return joined_gaps(
        gap._replace(start_ms=start, end_ms=end)
        for gap in gaps
        for start, end in subtract([gap.span], overlapping(filled, gap.span))
    )


def joined_gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Gaps in order; neighbours that were requested together are merged."""
    result: list[Gap] = []
    for gap in sorted(gaps):
        if result and result[-1].end_ms == gap.start_ms and result[-1][2:] == gap[2:]:
            result[-1] = result[-1]._replace(end_ms=gap.end_ms)
        else:
            result.append(gap)
    return tuple(result)
