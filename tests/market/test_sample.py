"""The embedded reconstruction against every market figure that the article prints.

A figure printed to n digits holds within half a unit of its last digit, and a stated level exactly, to the five
digits that prices are stored with. Days are UTC days; a level on a day is its close.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.documents import datasets_root
from backtest.errors import MarketError
from backtest.market.dataset import read_dataset, read_metadata
from backtest.market.record import RECONSTRUCTED, Market
from backtest.market.series import PANELS
from backtest.market.synthetic import main
from backtest.units import UNIT_MS

SWAPS = ("ZEC", "DASH", "ZK", "ZEN", "DCR", "SCRT", "ROSE", "XMR", "RAIL", "BTC", "ETH")
PRIVACY = SWAPS[:9]
ALTS = (*PRIVACY, "ETH")
FOLDER = datasets_root() / "privacy-2025-sample"


class Tape:
    """Reads a market by coin and month-day of 2025."""

    def __init__(self, market: Market) -> None:
        self.frames = {panel: market.frame(panel) for panel in PANELS}
        self.quote = (self.frames["volume"] * self.frames["close"]).resample("1D").sum()

    def bars(self, panel: str, symbol: str, first: str, last: str) -> pd.Series:
        bars = self.frames[panel][symbol].loc[f"2025-{first}" : f"2025-{last}"]
        assert len(bars) > 0
        return bars

    def close(self, coin: str, day: str) -> float:
        return float(self.bars("close", swap(coin), day, day).iloc[-1])

    def open(self, coin: str, day: str) -> float:
        return float(self.bars("open", swap(coin), day, day).iloc[0])

    def high(self, coin: str, first: str, last: str) -> float:
        return float(self.bars("high", swap(coin), first, last).max())

    def low(self, coin: str, first: str, last: str) -> float:
        return float(self.bars("low", swap(coin), first, last).min())

    def gain(self, coin: str, first: str, last: str) -> float:
        """Percent from the close of one day to that of another."""
        return 100.0 * (self.close(coin, last) / self.close(coin, first) - 1.0)

    def turnover(self, symbol: str, day: str) -> float:
        return float(self.quote.loc[f"2025-{day}", symbol])

    def mean_turnover(self, symbol: str, first: str, last: str) -> float:
        days = self.quote.loc[f"2025-{first}" : f"2025-{last}", symbol]
        assert len(days) > 0
        return float(days.mean())

    def farthest(self, coin: str, first: str, last: str, level: float) -> float:
        """Largest distance in percent of the hourly closes from a level."""
        return float(100.0 * (self.bars("close", swap(coin), first, last) / level - 1.0).abs().max())

    def nearest(self, coin: str, first: str, last: str, level: float) -> float:
        """The hourly close nearest to a level."""
        closes = self.bars("close", swap(coin), first, last)
        return float(closes.iloc[int((closes - level).abs().argmin())])


def swap(coin: str) -> str:
    return f"{coin}/USDT:USDT"


def dash_turnover(tape: Tape, day: str) -> float:
    return tape.turnover(swap("DASH"), day) + tape.turnover("DASH/USDT", day)


@dataclass(frozen=True)
class Figure:
    """One printed figure: how it is read and measured, and the bounds that the printed digits allow."""

    claim: str
    reading: str
    measured: Callable[[Tape], float]
    low: float
    high: float


INF = float("inf")
FIGURES = (
    Figure("ZEC 237.84 on 10-23", "close", lambda t: t.close("ZEC", "10-23"), 237.835, 237.845),
    Figure("ZEC 532.06 on 11-07", "close", lambda t: t.close("ZEC", "11-07"), 532.055, 532.065),
    Figure(
        "ZEC +120 % from 237.84 to 532.06",
        "to the tens; 15 days by its own dates, not 40",
        lambda t: t.gain("ZEC", "10-23", "11-07"),
        115,
        125,
    ),
    Figure("ZEC from $238", "the 10-23 close, to the dollar", lambda t: t.close("ZEC", "10-23"), 237.5, 238.5),
    Figure("ZEC to $580", "the highest print up to 11-08", lambda t: t.high("ZEC", "08-15", "11-08"), 579.5, 580.5),
    Figure(
        "$238 to $580 within 40 days",
        "days from the 10-23 close to the first bar at 580",
        lambda t: (
            ((t.bars("high", swap("ZEC"), "10-24", "11-30") >= 579.5).idxmax() - pd.Timestamp("2025-10-24", tz="UTC"))
            / pd.Timedelta("1D")
        ),
        1,
        40,
    ),
    Figure(
        "ZEC 20x",
        "lowest to highest print up to 11-08",
        lambda t: t.high("ZEC", "08-15", "11-08") / t.low("ZEC", "08-15", "11-08"),
        19.5,
        20.5,
    ),
    Figure(
        "ZEC 20x in under three months",
        "days from the lowest print to the highest up to 11-08",
        lambda t: (
            (
                t.bars("high", swap("ZEC"), "08-15", "11-08").idxmax()
                - t.bars("low", swap("ZEC"), "08-15", "11-08").idxmin()
            )
            / pd.Timedelta("1D")
        ),
        60,
        91,
    ),
    Figure(
        "ZEC at $30 when first recommended",
        "lowest day close of August",
        lambda t: min(t.close("ZEC", f"08-{day}") for day in range(15, 32)),
        29,
        31,
    ),
    Figure(
        "ZEC at a high since 2018 on 11-07",
        "the window's highest day close so far, over the highest before",
        lambda t: t.close("ZEC", "11-07") / t.bars("close", swap("ZEC"), "08-15", "11-06").resample("1D").last().max(),
        1.0001,
        INF,
    ),
    Figure(
        "ZEC +700 % year to date",
        "to the hundreds; close of 11-05 over a public 58 at the year's start",
        lambda t: 100.0 * (t.close("ZEC", "11-05") / 58.0 - 1.0),
        650,
        750,
    ),
    Figure("ZEC +22 % on 10-01", "close on close", lambda t: t.gain("ZEC", "09-30", "10-01"), 21.5, 22.5),
    Figure("ZEC +40 % within 4 days of 10-24", "close on close", lambda t: t.gain("ZEC", "10-23", "10-27"), 39.5, 40.5),
    Figure(
        "ZEC +15 % intraday on 11-01",
        "open to high",
        lambda t: 100.0 * (t.high("ZEC", "11-01", "11-01") / t.open("ZEC", "11-01") - 1.0),
        14.5,
        15.5,
    ),
    Figure(
        "ZEC open interest first above $770 million on 11-01",
        "the highest hourly reading before that day",
        lambda t: float(t.bars("open_interest", swap("ZEC"), "08-15", "10-31").max()),
        600e6,
        770e6,
    ),
    Figure(
        "ZEC open interest above $770 million on 11-01",
        "the day's last hourly reading",
        lambda t: float(t.bars("open_interest", swap("ZEC"), "11-01", "11-01").iloc[-1]),
        770e6,
        800e6,
    ),
    Figure(
        "ZEC volume soars on 11-01",
        "times the day before; qualitative, so at least a half more",
        lambda t: t.turnover(swap("ZEC"), "11-01") / t.turnover(swap("ZEC"), "10-31"),
        1.5,
        3.0,
    ),
    Figure(
        "ZEC 24-hour spot volume $17.5 billion on 11-07",
        "UTC day, volume times close; kept as printed though it looks ten times too large",
        lambda t: t.turnover("ZEC/USDT", "11-07"),
        17.45e9,
        17.55e9,
    ),
    Figure(
        "ZEC spot volume 1.4 times the monthly average",
        "mean of the 30 days before",
        lambda t: t.turnover("ZEC/USDT", "11-07") / t.mean_turnover("ZEC/USDT", "10-08", "11-06"),
        1.35,
        1.45,
    ),
    Figure(
        "ZEC trades billions of dollars a day",
        "perpetual and spot, the least day from 10-06 to 11-07",
        lambda t: min(
            t.turnover(swap("ZEC"), str(day.date())[5:]) + t.turnover("ZEC/USDT", str(day.date())[5:])
            for day in pd.date_range("2025-10-06", "2025-11-07")
        ),
        2e9,
        INF,
    ),
    Figure(
        "sector +80 % in 7 days",
        "mean of nine coins to 11-07",
        lambda t: float(np.mean([t.gain(coin, "10-31", "11-07") for coin in PRIVACY])),
        79.5,
        80.5,
    ),
    Figure(
        "sector +80 % in 7 days, by the median",
        "median of nine coins to 11-07",
        lambda t: float(np.median([t.gain(coin, "10-31", "11-07") for coin in PRIVACY])),
        79.5,
        80.5,
    ),
    Figure("DASH over +100 % in 7 days", "to 11-07", lambda t: t.gain("DASH", "10-31", "11-07"), 100, 150),
    Figure("DCR over +100 % in 7 days", "to 11-07", lambda t: t.gain("DCR", "10-31", "11-07"), 100, 150),
    Figure("ZEN over +100 % in 7 days", "to 11-07", lambda t: t.gain("ZEN", "10-31", "11-07"), 100, 150),
    Figure("ZK over +130 % in 7 days", "to 11-07", lambda t: t.gain("ZK", "10-31", "11-07"), 130, 135),
    Figure(
        "ZK among the sector's largest gains",
        "rank over the 7 days to 11-07, from 1",
        lambda t: 1.0 + sum(t.gain(c, "10-31", "11-07") > t.gain("ZK", "10-31", "11-07") for c in PRIVACY),
        1,
        3,
    ),
    Figure(
        "ZK volume 30x on 11-01, against the day before",
        "quote volume",
        lambda t: t.turnover(swap("ZK"), "11-01") / t.turnover(swap("ZK"), "10-31"),
        29.5,
        30.5,
    ),
    Figure(
        "ZK volume 30x on 11-01, against the week before",
        "quote volume over the mean of 7 days",
        lambda t: t.turnover(swap("ZK"), "11-01") / t.mean_turnover(swap("ZK"), "10-25", "10-31"),
        29.5,
        30.5,
    ),
    Figure(
        "DASH 24-hour volume past $1.2 billion",
        "perpetual and spot on 11-06",
        lambda t: dash_turnover(t, "11-06"),
        1.2e9,
        1.25e9,
    ),
    Figure(
        "DASH volume breaks through, so never before",
        "perpetual and spot, the largest day up to 11-05",
        lambda t: max(dash_turnover(t, str(day.date())[5:]) for day in pd.date_range("2025-08-15", "2025-11-05")),
        0.4e9,
        1.2e9,
    ),
    Figure(
        "DASH volume 2.8 times the period before",
        "11-06 over 11-05",
        lambda t: dash_turnover(t, "11-06") / dash_turnover(t, "11-05"),
        2.75,
        2.85,
    ),
    Figure(
        "RAIL stagnates in the second half of October",
        "farthest hourly close from that of 10-15, percent",
        lambda t: t.farthest("RAIL", "10-16", "10-31", t.close("RAIL", "10-15")),
        0,
        10,
    ),
    Figure("ZEC rises meanwhile", "10-15 to 10-31", lambda t: t.gain("ZEC", "10-15", "10-31"), 50, 100),
    Figure(
        "ZEC diluted value $160 billion at 20 times",
        "price 160e9 / 20 / 21e6 = 381, some hour of 10-31, within 2 %",
        lambda t: t.nearest("ZEC", "10-31", "10-31", 381.0),
        373,
        389,
    ),
    Figure(
        "RAIL diluted value $4 billion at 20 times",
        "price 4e9 / 20 / 100e6 = 2.00 on 10-31, within 5 %",
        lambda t: t.close("RAIL", "10-31"),
        1.9,
        2.1,
    ),
)

ROUND_LEVELS = (
    ("ZEC", "09-30", 75.0),
    ("ZEC", "10-23", 240.0),
    ("DASH", "09-30", 22.0),
    ("DASH", "10-31", 48.0),
    ("ZK", "09-30", 0.050),
    ("ZK", "10-31", 0.029),
    ("BTC", "09-30", 114e3),
    ("BTC", "10-06", 126e3),
    ("BTC", "10-31", 110e3),
    ("BTC", "11-07", 103e3),
    ("ETH", "09-30", 4100.0),
    ("ETH", "11-07", 3400.0),
)


@pytest.fixture(scope="module")
def tape(sample: Market) -> Tape:
    return Tape(sample)


@pytest.fixture(scope="module")
def reversed_tape(sample: Market) -> Tape:
    """The sample told backwards: a market that the article does not describe."""
    panels = {panel: getattr(sample, panel)[::-1] for panel in PANELS}
    panels["open"], panels["close"] = panels["close"], panels["open"]
    return Tape(replace(sample, **panels))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.claim)
def test_the_articles_figure_holds(tape: Tape, figure: Figure) -> None:
    measured = figure.measured(tape)
    assert figure.low <= measured <= figure.high, f"{figure.claim} ({figure.reading}): {measured:g}"


def test_a_market_told_backwards_is_told_apart(reversed_tape: Tape) -> None:
    held = [figure.claim for figure in FIGURES if figure.low <= figure.measured(reversed_tape) <= figure.high]
    assert held == []


@pytest.mark.parametrize(("coin", "day", "level"), ROUND_LEVELS)
def test_round_public_levels_hold_within_two_percent(tape: Tape, coin: str, day: str, level: float) -> None:
    assert tape.close(coin, day) == pytest.approx(level, rel=0.02)


def test_bitcoin_prints_126000_on_its_record_day(tape: Tape) -> None:
    assert tape.high("BTC", "10-06", "10-06") == 126_000.0
    assert tape.high("BTC", "08-15", "11-30") == 126_000.0


@pytest.mark.parametrize("coin", ALTS)
def test_alts_fall_10_to_60_percent_on_10_10_and_partly_recover(tape: Tape, coin: str) -> None:
    before = float(tape.bars("open", swap(coin), "10-10", "10-10").iloc[20])
    low, close = tape.low(coin, "10-10", "10-10"), tape.close(coin, "10-10")
    assert 0.10 <= 1.0 - low / before <= 0.60
    assert low * 1.05 < close < before


def test_it_is_labelled_and_holds_the_instruments_asked_for(sample: Market) -> None:
    metadata = read_metadata(FOLDER)
    assert sample.provenance.label == metadata.label == RECONSTRUCTED
    assert metadata.licence == sample.provenance.licence == "CC0-1.0"
    assert metadata.readings
    assert set(sample.symbols) == {swap(coin) for coin in SWAPS} | {"ZEC/USDT", "DASH/USDT"}
    assert [sample.instruments[i].kind for i in range(13)] == ["swap"] * 11 + ["spot"] * 2


def test_the_grid_is_hourly_and_whole(sample: Market) -> None:
    assert sample.index[0] == pd.Timestamp("2025-08-15", tz="UTC")
    assert sample.index[-1] == pd.Timestamp("2025-11-30 23:00", tz="UTC")
    assert len(sample.index) == 2592
    assert (sample.timeframe, set(np.diff(sample.open_ms).tolist())) == ("1h", {UNIT_MS["h"]})
    for panel in ("open", "high", "low", "close", "volume", "funding"):
        assert not np.isnan(getattr(sample, panel)).any(), panel
    assert (sample.volume > 0).all()
    assert not np.isnan(sample.open_interest[:, :11]).any()
    assert np.isnan(sample.open_interest[:, 11:]).all()


def test_bars_open_at_the_close_before_and_have_a_range(sample: Market) -> None:
    gaps = np.abs(sample.open[1:] / sample.close[:-1] - 1.0)
    assert gaps.max() < 0.001
    assert (sample.high > sample.low).mean() > 0.999


def test_hourly_volatility_is_that_of_such_coins(sample: Market) -> None:
    # Bitcoin moves some 0.5 % an hour, coins like these 0.5-3 %.
    deviations = np.diff(np.log(sample.close), axis=0).std(axis=0)
    bitcoin = deviations[sample.column(swap("BTC"))]
    assert 0.003 < bitcoin < 0.008
    others = np.delete(deviations, sample.column(swap("BTC")))
    assert (others > bitcoin).all()
    assert (others < 0.03).all()


def test_volatility_clusters_and_volume_follows_it(sample: Market) -> None:
    # The crash would dominate every correlation: leave its day out.
    crash = sample.bar_at_or_after(int(pd.Timestamp("2025-10-10", tz="UTC").value) // 1_000_000)
    for column, symbol in enumerate(sample.symbols):
        moves = np.abs(np.diff(np.log(sample.close[:, column])))
        calm = np.delete(moves, slice(crash, crash + 24))
        assert np.corrcoef(calm[1:], calm[:-1])[0, 1] > 0.1, symbol
        volume = np.log(sample.volume[1:, column])
        assert np.corrcoef(moves, volume)[0, 1] > 0.2, symbol


def test_coins_move_together_as_far_as_they_should(sample: Market) -> None:
    returns = pd.DataFrame(np.diff(np.log(sample.close), axis=0), sample.index[1:], list(sample.symbols))
    correlation = returns.drop(returns.loc["2025-10-10"].index).corr()
    assert 0.75 < correlation.loc[swap("BTC"), swap("ETH")] < 0.95
    for coin in PRIVACY:
        assert 0.15 < correlation.loc[swap("BTC"), swap(coin)] < 0.75, coin
    pairs = correlation.loc[[swap(c) for c in PRIVACY], [swap(c) for c in PRIVACY]].to_numpy()
    among = pairs[np.triu_indices(len(PRIVACY), 1)]
    assert len(among) == 36
    assert 0.15 < among.min() < among.max() < 0.7


def test_hourly_returns_hold_no_trend_to_ride(sample: Market) -> None:
    """Beyond the figures themselves nothing is planted: an hour says little about the next one."""
    returns = np.diff(np.log(sample.close), axis=0)
    days = sample.index[1:].strftime("%m-%d")
    # The article's own moves: the crash, and the week that it describes.
    quiet = returns[(days < "09-25")]
    assert len(quiet) > 900
    for column, symbol in enumerate(sample.symbols):
        assert abs(np.corrcoef(quiet[1:, column], quiet[:-1, column])[0, 1]) < 0.12, symbol


def test_funding_settles_every_eight_hours_within_bounds(sample: Market) -> None:
    closes = sample.open_ms + sample.bar_ms
    settled = closes % (8 * UNIT_MS["h"]) == 0
    assert (sample.funding[~settled] == 0).all()
    assert (sample.funding[:, 11:] == 0).all()
    rates = sample.funding[settled][:, :11]
    assert np.abs(rates).max() <= 0.02
    # Bitcoin's stays within a normal week's +-0.1 %; calm perpetuals mostly pay the interest of 0.01 %.
    bitcoin = rates[:, sample.column(swap("BTC"))]
    assert np.abs(bitcoin).max() < 0.001
    assert (bitcoin == 0.0001).mean() > 0.5
    dash = sample.frame("funding")[swap("DASH")]
    assert -0.02 < dash.loc["2025-11-06":"2025-11-18"].min() < -0.008
    assert dash.loc[:"2025-10-31"].min() > -0.002


def test_spot_tracks_the_perpetual_by_a_basis_of_fundings_sign(sample: Market) -> None:
    close = sample.frame("close")
    for coin, widest in (("ZEC", 0.005), ("DASH", 0.03)):
        basis = close[swap(coin)] / close[f"{coin}/USDT"] - 1.0
        assert 0 < basis.abs().max() < widest
        funding = sample.frame("funding")[swap(coin)].loc["2025-10-01":]
        paid = funding[funding.abs() > 0.0005]
        assert len(paid) > 10
        assert np.corrcoef(paid, basis[paid.index])[0, 1] > 0.5


def test_open_interest_falls_in_the_crash_and_is_no_multiple_of_price(sample: Market) -> None:
    contracts = (sample.frame("open_interest") / sample.frame("close")).iloc[:, :11]
    before, after = contracts.loc["2025-10-10 19:00"], contracts.loc["2025-10-10 21:00"]
    assert (after < before * 0.95).all()
    assert (contracts.std() / contracts.mean() > 0.02).all()


def test_regeneration_gives_the_same_content(sample: Market, tmp_path: Path) -> None:
    assert main([str(tmp_path / "made")]) == 0
    made = read_metadata(tmp_path / "made")
    assert made.content_sha256 == sample.sha256() == read_metadata(FOLDER).content_sha256
    assert read_dataset(tmp_path / "made").sha256() == sample.sha256()
    assert made.model_dump(exclude={"files"}) == read_metadata(FOLDER).model_dump(exclude={"files"})


def test_every_file_is_below_two_megabytes() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"metadata.json", "bars.parquet", "funding.parquet", "anchors.toml"} <= sizes.keys()
    assert max(sizes.values()) < 2_000_000


@pytest.mark.parametrize("name", ["bars.parquet", "funding.parquet"])
def test_a_flipped_byte_is_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(FOLDER, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(MarketError, match=rf"{name} was changed: its sha256 is"):
        read_dataset(folder)
