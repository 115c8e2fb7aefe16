"""Series from a user's CSV are seen when they were available, not when they are about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import DataError, UsageError
from backtest.base.units import to_ms
from backtest.market.auxiliary import read_series

GOOD = "available_at,value\n2025-10-01T06:00Z,4000000\n2025-10-02T06:00:00+02:00,4.1e6\n1759600800000,\n"


def moment(text: str) -> int:
    from datetime import datetime

    return to_ms(datetime.fromisoformat(text))


def test_a_reading_is_known_from_its_instant_on(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text(GOOD)
    series = read_series(tmp_path / "pool.csv")
    assert series.name == "pool"
    moments = ["2025-10-01T05:59Z", "2025-10-01T06:00Z", "2025-10-02T03:59Z", "2025-10-02T04:00Z", "2025-10-05T00:00Z"]
    known = series.at([moment(one) for one in moments])
    np.testing.assert_array_equal(known, [np.nan, 4e6, 4e6, 4.1e6, np.nan])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("day,value\n2025-10-01,1\n", r"begins with 'day,value': a series needs the header available_at,value"),
        ("available_at,value\n", "and a row"),
        ("available_at,value\n2025-10-01,1\n", "line 2, column available_at: '2025-10-01' has no time zone"),
        ("available_at,value\n2025-10-02T00:00Z,1\n2025-10-01T00:00Z,1\n", "line 3: available_at is not after"),
        ("available_at,value\n2025-10-01T00:00Z,many\n", "line 2, column value: 'many' is not a number"),
        ("", "begins with nothing: a series needs the header available_at,value and a row"),
    ],
)
def test_a_bad_file_names_the_row(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "pool.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_series(tmp_path / "pool.csv")


def test_absent_files_and_odd_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_series(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="series name 'My Pool'"):
        read_series(tmp_path / "none.csv", "My Pool")
