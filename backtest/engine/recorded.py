"""Columns of what the kernel recorded, and what follows from its fills for each intent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine import layout


def columns_of(
    rows: npt.NDArray[np.float64], columns: tuple[str, ...], whole: tuple[str, ...]
) -> dict[str, npt.NDArray[Any]]:
    """Columns of a table of the book by name; those of whole numbers as such."""
    return {
        name: rows[:, place].astype(np.int64 if name in whole else np.float64) for place, name in enumerate(columns)
    }


def exit_loads(book: layout.Book, bars: layout.Bars) -> npt.NDArray[np.float64]:
    """(K,) quantity exited with an intent at its fill, divided by what `participation` allows to enter; NaN if unknown.

    All exits of an instrument at one moment count together: above 1 they took more of the volume than an entry may. Of
    several fills the largest counts.
    """
    raw = columns_of(book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("row", "phase", "column", "intent", "reason"))
    left = {name: values[raw["reason"] != layout.ENTRY] for name, values in raw.items()}
    moment = np.stack([left[name] for name in ("row", "phase", "column")], axis=1)
    _, group = np.unique(moment, axis=0, return_inverse=True)
    together = np.bincount(group.ravel(), left["quantity"] * left["price"])[group.ravel()]
    loads = np.full(len(book.verdict), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.fmax.at(loads, left["intent"], together / bars.panel[left["column"], left["row"], layout.CAPACITY])
    return loads


def exit_fills(book: layout.Book) -> npt.NDArray[np.int64]:
    """(K,) fills in which each intent's position left."""
    raw = columns_of(book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("intent", "reason"))
    left = raw["intent"][raw["reason"] != layout.ENTRY]
    return np.bincount(left, minlength=len(book.verdict)).astype(np.int64)


def last_fills(book: layout.Book) -> npt.NDArray[np.bool_]:
    """(F,) whether a fill closed its position."""
    raw = columns_of(book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("intent", "reason"))
    place = np.full(len(book.verdict), -1)
    exits = np.flatnonzero(raw["reason"] != layout.ENTRY)
    np.maximum.at(place, raw["intent"][exits], exits)
    found = np.zeros(len(raw["intent"]), dtype=np.bool_)
    found[place[place >= 0]] = True
    return found


def entries_of(book: layout.Book) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(K,) what cut each intent's entry (`CUTS`), and the share granted; 0 and NaN where there was none."""
    raw = columns_of(book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("intent", "reason", "cut"))
    entered = raw["reason"] == layout.ENTRY
    cut, granted = np.zeros(len(book.verdict), dtype=np.int64), np.full(len(book.verdict), np.nan)
    cut[raw["intent"][entered]], granted[raw["intent"][entered]] = raw["cut"][entered], raw["granted"][entered]
    return cut, granted
