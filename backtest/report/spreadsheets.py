"""CSV that a spreadsheet opens as text: no cell of it is a formula."""

from __future__ import annotations

import csv
import io
from math import nan
from typing import Any

import numpy as np
import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(frame: pd.DataFrame, **how: Any) -> str:
    """CSV of a table without its index; text that a spreadsheet would compute has an apostrophe before it.

    Numbers, written as text too, stay as they are.
    """
    safe = frame.copy(deep=False)
    for place, kind in enumerate(frame.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)):
            safe.isetitem(place, [_inert(value) for value in frame.iloc[:, place]])
    safe.columns = [_inert(name) for name in frame.columns]
    return str(safe.to_csv(index=False, lineterminator="\n", **how))


def rounded_csv_text(frame: pd.DataFrame) -> str:
    """The same with ten significant digits and instants as ISO 8601, UTC, for a page; quicker for many numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_inert(name) for name in frame.columns])
    writer.writerows(zip(*(_cells(values) for _, values in frame.items()), strict=True))
    return text.getvalue()


def _cells(values: pd.Series[Any]) -> list[Any]:
    """One column as what a CSV writer takes; empty where unknown."""
    kind = values.dtype
    if pd.api.types.is_float_dtype(kind):
        return ["" if one != one else f"{one:.10g}" for one in values.to_numpy(dtype="float64", na_value=nan).tolist()]
    if pd.api.types.is_datetime64_any_dtype(kind):
        known = values.notna().tolist()
        texts = np.datetime_as_string(values.to_numpy(dtype="datetime64[s]"))
        return [f"{one}Z" if has else "" for one, has in zip(texts.tolist(), known, strict=True)]
    known = values.notna().tolist()
    return [_inert(one) if has else "" for one, has in zip(values.tolist(), known, strict=True)]


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # A reader takes it for the end of a row, unquoted as it is.
    if not value.lstrip(" ").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
