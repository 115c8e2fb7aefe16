"""Imports: CPU of reading files into the store, against pyarrow reading and writing the same.

python -m benchmarks.imports [--rows 10000000]

The file is a month after a month of minute bars of several coins, as CSV and as Feather. Both sides run on one thread,
and what counts is CPU of the process, so that a busy machine changes little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.store import Store

MINUTE, START_MS = 60_000, 1_577_836_800_000
NAMES = ("open", "high", "low", "close", "volume")
GOAL, GOAL_AGAIN = 1.5, 0.02


@dataclass(frozen=True, slots=True)
class Imports:
    """CPU seconds of an import, of the same import again, and of pyarrow reading and writing the same files."""

    form: str
    rows: int
    import_s: float
    again_s: float
    plain_s: float

    @property
    def line(self) -> str:
        """The figures beside their goals."""
        return (
            f"{self.form}: {self.rows:,} rows imported in {self.import_s:.2f} s of CPU, pyarrow {self.plain_s:.2f} s: "
            f"ratio {self.import_s / self.plain_s:.2f} (at most {GOAL} is wanted); again {self.again_s:.3f} s: "
            f"{self.again_s / self.import_s:.1%} (at most {GOAL_AGAIN:.0%})"
        )


def bars(count: int, seed: int) -> pa.Table:
    """Minute bars whose prices have two decimals, volumes three."""
    random = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 1e-3, count))), 2)
    open_ = np.concatenate(([close[0]], close[:-1]))
    high, low = np.maximum(open_, close) + 0.01, np.minimum(open_, close) - 0.01
    columns = (open_, np.round(high, 2), np.round(low, 2), close, np.round(random.random(count) * 100, 3))
    times = START_MS + np.arange(count, dtype=np.int64) * MINUTE
    return pa.table({"timestamp": times, **dict(zip(NAMES, columns, strict=True))})


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def plain(files: list[Path], folder: Path) -> None:
    """What anyone would write with pyarrow: read each file, write it as Parquet."""
    folder.mkdir()
    for file in files:
        if file.suffix == ".csv":
            table = pyarrow.csv.read_csv(file, pyarrow.csv.ReadOptions(use_threads=False))
        else:
            table = pyarrow.feather.read_table(file, use_threads=False)
        pq.write_table(table, folder / f"{file.stem}.parquet", compression="zstd")


def imports(form: str, rows: int, coins: int = 4, repeats: int = 1) -> Imports:
    """An import of so many rows in all."""
    best = [float("inf")] * 3
    each = rows // coins
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        folder = root / "futures"
        folder.mkdir()
        files = []
        for coin in range(coins):
            files.append(folder / f"C{coin}USDT-1m.{form}")
            table = bars(each, coin)
            if form == "csv":
                pyarrow.csv.write_csv(table, files[-1])
            else:
                pyarrow.feather.write_feather(table, files[-1], compression="zstd")
        for turn in range(repeats):
            store = Store(root / f"store{turn}")
            said = Said("bybit", "swap")
            found = (
                cpu(lambda: import_paths([folder], store, said)),  # noqa: B023
                cpu(lambda: import_paths([folder], store, said)),  # noqa: B023
                cpu(lambda: plain(files, root / f"plain{turn}")),  # noqa: B023
            )
            best = [min(pair) for pair in zip(best, found, strict=True)]
            assert all(store.manifest(key).rows == each for key in store.contents())  # type: ignore[union-attr]
    return Imports(form, each * coins, *best)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    asked = parser.parse_args()
    for form in ("csv", "feather"):
        print(imports(form, asked.rows).line, flush=True)


if __name__ == "__main__":
    main()
