"""Text and numbers as figures print them: cut, harmless, short."""

from __future__ import annotations

import math
import unicodedata

from backtest.base.units import from_ms

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MINUS = "\N{MINUS SIGN}"


def clean(text: object, most: int) -> str:
    """One line of at most `most` columns: no control, format or bidirectional characters, blanks joined, then cut.

    Figures never parse text as mathtext, so `$` stays as it is.
    """
    # Each visible character costs at most a few invisible ones: a text of any length is read in bounded time.
    raw = str(text)[: 20 * most]
    shown = "".join(
        " " if unicodedata.category(one) in ("Cc", "Zl", "Zp", "Zs") else one
        for one in raw
        if unicodedata.category(one) in ("Cc", "Zl", "Zp", "Zs") or unicodedata.category(one)[0] not in "CM"
    )
    words = " ".join(shown.split())
    if columns(words) <= most:
        return words
    kept = ""
    for one in words:
        if columns(kept + one) > most - 1:
            break
        kept += one
    return kept.rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def columns(text: str) -> float:
    """Width of a text in columns: a lower-case letter takes one, a capital more, an East Asian character two."""
    return sum(
        2.0 if unicodedata.east_asian_width(one) in "WF" else 1.65 if one in "WMm@%" else 1.2 if one.isupper() else 1.0
        for one in text
    )


def words(name: str) -> str:
    """`stop_loss`, `IN_POSITION` and `oi_record` as words."""
    return " ".join("OI" if one == "oi" else one for one in name.lower().split("_"))


def percent(share: float, digits: int = 1, *, sign: bool = True) -> str:
    """A share as a percentage; empty where undefined."""
    if math.isnan(share):
        return ""
    told = f"{abs(share):,.{digits}%}"
    if float(told.rstrip("%").replace(",", "")) == 0.0:
        return told
    return (MINUS if share < 0 else "+" if sign else "") + told


def percent_tick(step: float) -> int:
    """Digits that ticks a `step` apart need as percentages."""
    return max(0, math.ceil(-math.log10(max(step, 1e-6) * 100.0) - 1e-9))


def number(value: float) -> str:
    """A number in three figures or so: 0.00012, 1.25, 532, 12.3k, 4.5M, 17.5B."""
    if math.isnan(value):
        return ""
    size = abs(value)
    for least, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        # Three figures of 999,500 are 1M; up to 9,999 all figures are written.
        if size >= (least if letter == "k" else 0.9995 * least):
            scale = 1e3 if letter == "k" else least
            return minus(f"{float(f'{value / scale:.3g}'):g}{letter}")
    if size >= 1000:
        return minus(f"{value:,.0f}")
    if size == 0:
        return "0"
    return minus(f"{float(f'{value:.3g}'):g}") if size >= 1e-4 else minus(f"{value:.2e}")


def minus(text: str) -> str:
    """The text with a true minus sign."""
    return text.replace("-", MINUS)


def day(milliseconds: int, *, year: bool = False) -> str:
    """`7 Nov`, with the year where asked."""
    moment = from_ms(milliseconds)
    return f"{moment.day} {MONTHS[moment.month - 1]}" + (f" {moment.year}" if year else "")


def moment(milliseconds: int) -> str:
    """`7 Nov 04:00`, UTC."""
    at = from_ms(milliseconds)
    return f"{day(milliseconds)} {at:%H:%M}"
