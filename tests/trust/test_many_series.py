"""Ten thousand series are not a hundred million steps: what is listed or looked up is so once, not once a series.

`python -m tools.attack_campaign --series 10000` does it at that size.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.market.rows import Key
from backtest.market.store import Store
from tools.attack_campaign import many_series


@pytest.mark.parametrize("count", [5, 60])
def test_the_store_is_listed_as_often_for_many_series_as_for_few(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, compared = 0, 0
    contents, equal = Store.contents, Key.__eq__

    def counted(self: Store) -> tuple[Key, ...]:
        nonlocal listed
        listed += 1
        return contents(self)

    def compare(self: Key, other: object) -> bool:
        nonlocal compared
        compared += 1
        return bool(equal(self, other))

    monkeypatch.setattr(Store, "contents", counted)
    monkeypatch.setattr(Key, "__eq__", compare)
    assert many_series(count, tmp_path) == []
    assert listed <= 6
    assert compared < 40 * count
