"""Which files were read before, told by what the file system says of them: an unchanged one is not read for its hash.

Kept in `ROOT/imported-files.json` as a cache: without it, or where it is damaged, every file is read. It only ever says
which hash a file had; whether a file of that hash was imported the manifests alone say.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from backtest.base.documents import read_json
from backtest.base.errors import BacktestError, MarketError
from backtest.market.rows import replace_file

SEEN = "imported-files.json"
MOST = 50_000
# A file that was written within the same tick as it was read may change again without a sign.
SETTLED_NS = 2_000_000_000


@dataclass(slots=True)
class SeenFiles:
    """Hashes of files by path and what was said of them, each with the file's state when it was read."""

    root: Path
    _known: dict[str, list[int | str]] | None = None
    _new: dict[str, list[int | str]] = field(default_factory=dict)

    def mark(self, path: Path, said: str) -> str:
        """Hash of a file's content and of what was said of it; raises `MarketError` where it cannot be read."""
        place = f"{os.path.abspath(path)}\n{said}"
        try:
            before = _state(path)
            known = self._entries().get(place)
            if known is not None and known[:-1] == before:
                mark = str(known[-1])
                self._new[place] = known
                return mark
            began = time.time_ns()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as problem:
            raise MarketError(f"{path} cannot be read ({problem.strerror}): check the path") from None
        digest.update(said.encode())
        mark = digest.hexdigest()[:32]
        if max(before[-2:]) + SETTLED_NS < began:
            self._new[place] = [*before, mark]
        return mark

    def keep(self) -> None:
        """Write what was read, the newest last; a store that cannot be written keeps nothing."""
        old = self._entries()
        if all(old.get(place) == entry for place, entry in self._new.items()):
            return
        entries = {place: entry for place, entry in old.items() if place not in self._new} | self._new
        newest = dict(list(entries.items())[-MOST:])
        with suppress(OSError):
            replace_file(self.root / SEEN, json.dumps(newest).encode())

    def _entries(self) -> dict[str, list[int | str]]:
        if self._known is None:
            self._known = {}
            with suppress(BacktestError, OSError):
                document = read_json(self.root / SEEN, MarketError)
                if isinstance(document, dict):
                    self._known = {place: entry for place, entry in document.items() if _is_entry(entry)}
        return self._known


def _state(path: Path) -> list[int]:
    """Device, inode, size, and the times of the last change of content and of anything, in nanoseconds."""
    told = path.stat()
    if not stat.S_ISREG(told.st_mode):
        raise MarketError(f"{path} is a folder, pipe or device: name a file")
    return [told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns]


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 6
        and all(type(cell) is int for cell in entry[:-1])
        and isinstance(entry[-1], str)
    )
