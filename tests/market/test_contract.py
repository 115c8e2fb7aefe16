"""Every data source under the one contract: folder of CSV, freqtrade, archive, ccxt, embedded dataset, frames."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from backtest.market.dataset import open_dataset, write_dataset
from backtest.market.download import Downloader
from backtest.market.folder import read_folder
from backtest.market.from_store import open_stored
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.record import Market
from backtest.market.store import Store
from backtest.market.transport import Patience
from tests.market.contract import START, SYMBOL, Sample, SourceContract, contradicted
from tests.market.loopback import HOUR, Listing, Loopback, options, serving
from tests.market.test_archive import KLINE_HEADER, put

NAMES = ["open", "high", "low", "close", "volume"]


def bar_frame(sample: Sample) -> pd.DataFrame:
    frame = pd.DataFrame(sample.bars, columns=["date", *NAMES])
    return frame.assign(date=pd.to_datetime(frame["date"], unit="ms", utc=True))


class TestFolderOfCsv(SourceContract):
    def market(self, sample: Sample, folder: Path) -> Market:
        pd.DataFrame(sample.bars, columns=["timestamp", *NAMES]).to_csv(folder / "ZECUSDT-1h.csv", index=False)
        funding = pd.DataFrame(sample.funding, columns=["timestamp", "funding_rate"])
        funding.to_csv(folder / "ZECUSDT-funding.csv", index=False)
        columns = ["timestamp", "sum_open_interest", "sum_open_interest_value"]
        pd.DataFrame(sample.open_interest, columns=columns).to_csv(folder / "ZECUSDT-oi-1h.csv", index=False)
        return read_folder(folder)


class TestFreqtrade(SourceContract):
    carries: ClassVar[frozenset[str]] = frozenset({"funding"})

    def market(self, sample: Sample, folder: Path) -> Market:
        data = folder / "futures"
        data.mkdir()
        bar_frame(sample).to_feather(data / "ZEC_USDT_USDT-1h-futures.feather")
        rates = pd.DataFrame(sample.funding, columns=["date", "open"])
        rates["date"] = pd.to_datetime(rates["date"], unit="ms", utc=True)
        rates.assign(high=0.0, low=0.0, close=0.0, volume=0.0).to_feather(
            data / "ZEC_USDT_USDT-8h-funding_rate.feather"
        )
        store = Store(folder / "store")
        import_paths([data], store, Said(venue="gate"))
        return open_stored(store, "gate")


class TestArchive(SourceContract):
    carries: ClassVar[frozenset[str]] = frozenset({"funding"})

    def market(self, sample: Sample, folder: Path) -> Market:
        um = folder / "futures/um/monthly"
        bars = [f"{row[0]},{','.join(map(str, row[1:]))},{row[0] + 1},55,3,2,22,0" for row in sample.bars]
        put(um / "klines/ZECUSDT/1h", "ZECUSDT-1h-2025-10.zip", "\n".join([KLINE_HEADER, *bars]) + "\n")
        rates = [f"{stamp},8,{rate}" for stamp, rate in sample.funding]
        text = "\n".join(["calc_time,funding_interval_hours,last_funding_rate", *rates]) + "\n"
        put(um / "fundingRate/ZECUSDT", "ZECUSDT-fundingRate-2025-10.zip", text)
        store = Store(folder / "store")
        import_paths([folder / "futures"], store)
        return open_stored(store, "binanceusdm")


class SampledListing(Listing):
    """A listing that has exactly the rows of a sample."""

    sample: Sample

    def bar(self, slot: int) -> tuple[float, float, float, float, float]:
        return next(row[1:] for row in self.sample.bars if row[0] == slot)

    def oi(self, slot: int) -> tuple[float, float]:
        return next(row[1:] for row in self.sample.open_interest if row[0] == slot)

    def settlements(self, start: int, end: int) -> list[tuple[int, float]]:
        return [row for row in self.sample.funding if start <= row[0] <= end]


class SampledVenue(Loopback):
    """Binance USD-M with the slots of each series as the sample has them."""

    def answer(self, path: str, query: dict[str, str], kind: str | None) -> object:
        (listing,) = self.listings.values()
        assert isinstance(listing, SampledListing)
        rows = listing.sample.open_interest if "openInterest" in path else listing.sample.bars
        there = {row[0] for row in rows}
        first, last = min(there), max(there)
        listing.launch_ms, listing.end_ms = first, last
        listing.absent = frozenset(slot for slot in range(first, last + 1, HOUR) if slot not in there)
        return super().answer(path, query, kind)


class TestVenueOfCcxt(SourceContract):
    def market(self, sample: Sample, folder: Path) -> Market:
        first, last = sample.bars[0][0], sample.bars[-1][0] + HOUR
        listing = SampledListing("ZEC", first - 48 * HOUR)
        listing.sample = sample
        state = SampledVenue({"ZECUSDT": listing}, now_ms=last + HOUR // 2)
        start, end = (pd.Timestamp(moment, unit="ms", tz="UTC").isoformat() for moment in (first, last))
        store = Store(folder / "store")
        with serving(state):
            choice = ExchangeChoice(id="binanceusdm", options=options("binanceusdm", state.url, timeout=20_000))
            recipe = Recipe(name="sample", exchange=choice, symbols=(SYMBOL,), timerange=f"{start}/{end}")
            patience = Patience(attempts=3, doubtful=2, first=0.001, longest=0.002)
            Downloader(recipe, store, patience=patience, clock=lambda: state.now_ms).run()
        return open_stored(store, "sample")

    def test_a_high_below_its_low_is_refused_and_named(self, tmp_path: Path) -> None:
        """A venue's row that contradicts itself is asked for again, and is a gap if it stays."""
        market = self.market(contradicted(), tmp_path)
        assert np.isnan(market.close[3, 0])
        assert np.isnan(market.close).sum() == 2
        gaps = [gap for one in Store(tmp_path / "store").manifests() if one.series == "ohlcv" for gap in one.gap_spans]
        assert (START + 3 * HOUR, START + 4 * HOUR) in gaps


class TestEmbeddedDataset(SourceContract):
    def market(self, sample: Sample, folder: Path) -> Market:
        made = TestFolderOfCsv().market(sample, folder)
        write_dataset(made, folder / "dataset", how_made="by hand", made_by="the contract")
        return open_dataset(str(folder / "dataset"))


class TestFrames(SourceContract):
    def market(self, sample: Sample, folder: Path) -> Market:
        funding = pd.DataFrame(sample.funding, columns=["timestamp", "funding_rate"])
        columns = ["timestamp", "sum_open_interest", "sum_open_interest_value"]
        interest = pd.DataFrame(sample.open_interest, columns=columns)
        return Market.from_frames(
            {SYMBOL: bar_frame(sample)}, funding={SYMBOL: funding}, open_interest={SYMBOL: interest}
        )
