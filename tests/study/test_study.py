"""Event studies of whole calendars: event time, legs, volume, placebo, groups, influencers, and the real bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from backtest.base.errors import DataError, UsageError
from backtest.base.units import duration_ms, to_ms
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.dataset import open_dataset
from backtest.market.record import Instrument, Market, Provenance
from backtest.study.abnormal import fit, series
from backtest.study.alignment import Exclusion, FitRow, place, resample
from backtest.study.cumulation import cumulate
from backtest.study.influencers import mean_variance, shrink
from backtest.study.models import Rejection
from backtest.study.placebo import twice
from backtest.study.settings import StudyConfig
from backtest.study.study import Study, event_study

HOUR = 3_600_000
START = pd.Timestamp("2025-09-01", tz="UTC")
COINS = ("BTC", "ETH", "ZEC", "DASH")
SMALL = StudyConfig(
    estimation="5d", gap="6h", before="12h", after=("6h", "1d"), draws=199, match="hour", minimum_catalysts=3
)


def catalyst(identifier: str, assets: tuple[str, ...], when: str | None, **more: object) -> Catalyst:
    values = {
        "id": identifier,
        "assets": assets,
        "kind": "listing",
        "actor": "OKX",
        "direction": 1,
        "announced_at": when,
        "precision": "untimed" if when is None else "day" if len(when) == 10 else "minute",
        "source": "test",
        "confidence": "high",
    }
    return Catalyst(**{**values, **more})  # type: ignore[arg-type]


def market(days: int = 40, seed: int = 1, bar: str = "1h") -> Market:
    """Hourly swaps and ETH spot: log returns with betas, log volume with an hour-of-day pattern, open interest."""
    rng = np.random.default_rng(seed)
    bars = days * 24
    index = pd.date_range(START, periods=bars, freq=bar, unit="ms")
    returns = 0.01 * rng.standard_normal((bars, len(COINS)))
    returns[:, 1:] += 0.01 * rng.standard_normal((bars, 1))
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    hours = np.arange(bars)[:, None] % 24
    volume = np.exp(5 + np.sin(hours / 24 * 2 * np.pi) + 0.2 * rng.standard_normal((bars, len(COINS))))
    interest = 1e6 * np.exp(np.cumsum(0.01 * rng.standard_normal((bars, len(COINS))), axis=0))
    return Market(
        index=index,
        timeframe=bar,
        instruments=tuple(Instrument.parse(f"{coin}/USDT:USDT") for coin in COINS),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=volume,
        open_interest=interest,
        funding=np.zeros(close.shape),
        provenance=Provenance("made", "made in a test"),
    )


def changed(base: Market, name: str, rows: slice | np.ndarray, column: int, value: float) -> Market:
    """The market with one stretch of a panel scaled by `value`; prices stay one price."""
    panels = ("open", "high", "low", "close") if name == "close" else (name,)
    values = np.array(getattr(base, name))
    values[rows, column] *= value
    return replace(base, **dict.fromkeys(panels, values))


CALENDAR = Calendar(
    "made",
    (
        catalyst("zec-day", ("ZEC",), "2025-09-15"),
        catalyst("zec-minute", ("ZEC",), "2025-09-24T03:15:00Z", actor="Hayes", kind="influencer_call"),
        catalyst("dash-day", ("DASH",), "2025-09-28", actor="Hayes", kind="influencer_call", direction=-1),
        catalyst("both", ("ZEC", "DASH", "XMR"), "2025-10-03", kind="delisting", direction=-1),
        catalyst("btc", ("BTC",), "2025-09-20"),
        catalyst("early", ("DASH",), "2025-09-03"),
        catalyst("before", ("ZEC",), "2025-08-01"),
        catalyst("untimed", ("ZEC",), None),
    ),
)


@pytest.fixture(scope="module")
def base() -> Market:
    return market()


@pytest.fixture(scope="module")
def made(base: Market) -> Study:
    return event_study(base, CALENDAR, SMALL)


def one(study: Study, identifier: str) -> pd.Series:
    rows = study.catalysts[study.catalysts["catalyst_id"] == identifier]
    assert len(rows) == 1
    return rows.iloc[0]


def length(duration: str) -> pd.Timedelta:
    return pd.Timedelta(milliseconds=duration_ms(duration))


def naive_car(
    base: Market, column: int, benchmark: int, announced: str, known: str, config: StudyConfig
) -> dict[str, float]:
    """CARs by the definition, with pandas clocks and least squares, for a one-coin catalyst on hourly bars."""
    closes = np.log(base.frame("close"))
    returns = closes.diff()
    y, x = returns.iloc[:, column], returns.iloc[:, benchmark]
    hour = pd.Timedelta("1h")
    t0, t1 = pd.Timestamp(announced), pd.Timestamp(known)
    run_up = t0 - length(config.before)
    end = run_up - length(config.gap)
    inside = slice(end - length(config.estimation or "14d"), end - hour)
    design = np.column_stack((np.ones(len(x[inside])), x[inside]))
    (alpha, beta), *_ = np.linalg.lstsq(design, y[inside].to_numpy(), rcond=None)
    abnormal = y - alpha - beta * x
    # A bar's return ends with its close, so the bars are those whose whole hour lies in the span.
    spans = {"run_up": (run_up, t0), "announcement": (t0, t1)}
    spans |= {f"after_{one}": (t1, t1 + length(one)) for one in config.after}
    return {name: float(abnormal[start : stop - hour].sum()) for name, (start, stop) in spans.items()}


def test_the_announcement_is_as_wide_as_it_is_known(base: Market) -> None:
    panel, daily = resample(base, None), resample(base, "1d")
    day = catalyst("day", ("ZEC",), "2025-09-03")
    minute = catalyst("minute", ("ZEC",), "2025-09-03T03:15:00Z")
    sharp = catalyst("sharp", ("ZEC",), "2025-09-03T03:59:00Z")
    hour = catalyst("hour", ("ZEC",), "2025-09-03T03:00:00Z", precision="hour")
    assert place(day, (2,), panel) == FitRow((2,), 48, 24)
    assert place(minute, (2,), panel) == FitRow((2,), 51, 1)
    # Known at 04:00 sharp: the bar that opens then may be traded.
    assert place(sharp, (2,), panel) == place(hour, (2,), panel) == FitRow((2,), 51, 1)
    assert place(day, (2,), daily) == place(minute, (2,), daily) == FitRow((2,), 2, 1)
    assert place(catalyst("never", ("ZEC",), None), (2,), panel) is None


def test_daily_bars_are_made_of_their_own_hours_only(base: Market) -> None:
    late = replace(base, **{name: getattr(base, name)[5:] for name in ("open", "high", "low", "close", "volume")},
                   index=base.index[5:], open_interest=base.open_interest[5:], funding=base.funding[5:])  # fmt: skip
    panel = resample(late, "1d")
    # The first day lacks five hours and is left out.
    assert panel.start_ms == to_ms(pd.Timestamp("2025-09-02", tz="UTC").to_pydatetime())
    assert len(panel.close) == 39
    np.testing.assert_array_equal(panel.close[0], base.close[47])
    np.testing.assert_array_equal(panel.open_interest[0], base.open_interest[47])
    np.testing.assert_allclose(panel.volume[0], base.volume[24:48].sum(axis=0))
    hole = changed(base, "close", slice(47, 48), 2, np.nan)
    assert np.isnan(resample(hole, "1d").close[1, 2])
    with pytest.raises(UsageError, match="timeframe '90m' is not a multiple of the market's 1h"):
        resample(base, "90m")


def test_cars_are_those_of_the_definition(base: Market, made: Study) -> None:
    for identifier, column, announced, known in (
        ("zec-day", 2, "2025-09-15T00:00Z", "2025-09-16T00:00Z"),
        ("zec-minute", 2, "2025-09-24T03:00Z", "2025-09-24T04:00Z"),
        ("dash-day", 3, "2025-09-28T00:00Z", "2025-09-29T00:00Z"),
    ):
        expected = naive_car(base, column, 0, announced, known, SMALL)
        assert list(expected) == list(made.spans)
        for name, value in expected.items():
            assert one(made, identifier)[name] == pytest.approx(value, rel=1e-9), (identifier, name)


def test_the_forecast_error_of_a_day_is_that_of_its_24_hours(base: Market, made: Study) -> None:
    """T = CAR / (s sqrt(24 + 24^2/E + (sum of deviations)^2 / S)): statsmodels gives s and the parameters' error."""
    returns = np.diff(np.log(base.close), axis=0, prepend=np.nan)
    onset = 14 * 24
    last = onset - 12 - 6
    design = sm.add_constant(returns[:, 0])
    fitted = sm.OLS(returns[last - 120 : last, 2], design[last - 120 : last]).fit()
    total = design[onset : onset + 24].sum(axis=0)
    error = np.sqrt(24 * fitted.mse_resid + total @ fitted.cov_params() @ total)
    row = one(made, "zec-day")
    assert row["t_announcement"] == pytest.approx(row["announcement"] / error)
    assert row["sigma"] == pytest.approx(np.sqrt(fitted.mse_resid))
    assert row["announcement_bars"] == 24


def test_a_benchmark_is_never_the_coin_itself(base: Market, made: Study) -> None:
    rejected = made.rejected.set_index(["catalyst_id", "asset"])
    assert rejected.loc[("btc", "BTC"), "reason"] == "NO_BENCHMARK"
    both = event_study(base, CALENDAR, SMALL.model_copy(update={"benchmarks": ("BTC", "ETH")}))
    legs = both.legs.set_index(["catalyst_id", "asset"])
    assert np.isnan(legs.loc[("btc", "BTC"), "beta_BTC"])
    # Its only benchmark is ETH, so it is ETH's beta that is reported.
    returns = np.diff(np.log(base.close), axis=0, prepend=np.nan)
    onset = 19 * 24
    inside = slice(onset - 138, onset - 18)
    slope = np.polyfit(returns[inside, 1], returns[inside, 0], 1)[0]
    assert legs.loc[("btc", "BTC"), "beta_ETH"] == pytest.approx(slope)
    assert not legs.loc[("zec-day", "ZEC"), ["beta_BTC", "beta_ETH"]].isna().any()


def test_a_catalyst_of_many_coins_is_one_row_the_mean_of_its_legs(made: Study) -> None:
    legs = made.legs[made.legs["catalyst_id"] == "both"]
    assert legs["asset"].tolist() == ["ZEC", "DASH"]
    for name in made.spans:
        assert one(made, "both")[name] == pytest.approx(legs[name].mean())
    everything = made.effects.query("measure == 'return' and grouping == 'all' and span == 'announcement'")
    assert everything["n"].tolist() == [4]
    dash = made.effects.query("measure == 'return' and grouping == 'asset' and group == 'DASH' and span == 'run_up'")
    expected = (one(made, "dash-day")["run_up"] + legs.set_index("asset").loc["DASH", "run_up"]) / 2
    assert dash["mean"].tolist() == pytest.approx([expected])


def test_everything_left_out_is_named(made: Study) -> None:
    found = {(row.catalyst_id, row.asset, row.reason): row.detail for row in made.rejected.itertuples()}
    assert found == {
        ("before", "", "OUTSIDE_DATA"): Exclusion.OUTSIDE_DATA.value,
        ("early", "DASH", "SHORT_ESTIMATION"): Rejection.SHORT_ESTIMATION.value,
        ("btc", "BTC", "NO_BENCHMARK"): Exclusion.NO_BENCHMARK.value,
        ("both", "XMR", "NO_INSTRUMENT"): Exclusion.NO_INSTRUMENT.value,
        ("untimed", "", "UNTIMED"): Exclusion.UNTIMED.value,
    }
    assert set(made.catalysts["catalyst_id"]) == {"zec-day", "zec-minute", "dash-day", "both"}
    named = set(made.catalysts["catalyst_id"]) | set(made.rejected["catalyst_id"])
    assert named == {catalyst.id for catalyst in CALENDAR}


def test_a_span_past_the_data_is_left_out_by_name(base: Market) -> None:
    late = Calendar(
        "late", (catalyst("zec-late", ("ZEC",), "2025-10-10T10:00Z"), catalyst("zec-day", ("ZEC",), "2025-09-15"))
    )
    study = event_study(base, late, SMALL)
    assert one(study, "zec-late")[["after_6h", "after_1d"]].isna().tolist() == [False, True]
    missing = study.rejected[study.rejected["measure"] == "return"]
    assert missing[["catalyst_id", "span", "reason"]].values.tolist() == [["zec-late", "after_1d", "MISSING_BAR"]]


def test_nothing_to_study_is_an_error_that_says_why(base: Market) -> None:
    calendar = Calendar("mine", (catalyst("xmr-day", ("XMR",), "2025-09-15"),))
    with pytest.raises(DataError, match=r"no catalyst of 'mine'.*'made': NO_INSTRUMENT \(.*\): xmr-day"):
        event_study(base, calendar, SMALL)
    with pytest.raises(UsageError, match="kinds: calendar 'made' has no 'listng'; did you mean 'listing'"):
        event_study(base, CALENDAR, SMALL.model_copy(update={"kinds": ("listng",)}))
    with pytest.raises(UsageError, match="matches every filter"):
        event_study(base, CALENDAR, SMALL.model_copy(update={"kinds": ("listing",), "actors": ("Hayes",)}))
    with pytest.raises(UsageError, match="benchmark 'DOGE' is not in market 'made'"):
        event_study(base, CALENDAR, SMALL.model_copy(update={"benchmarks": ("DOGE",)}))
    with pytest.raises(UsageError, match="estimation window of 120 bars holds fewer than minimum_estimation 121"):
        event_study(base, CALENDAR, SMALL.model_copy(update={"minimum_estimation": 121}))


def test_neighbours_are_flagged() -> None:
    calendar = Calendar(
        "near",
        (
            catalyst("zec-a", ("ZEC",), "2025-09-15", confounded_with=("zec-b",)),
            # 12 hours of run-up before 09-16 03:00 reach into 09-15; the day after 09-15 reaches 09-16 23:00.
            catalyst("zec-b", ("ZEC",), "2025-09-16T03:00:00Z"),
            catalyst("dash-c", ("DASH",), "2025-09-15T20:00:00Z"),
            catalyst("zec-d", ("ZEC",), "2025-09-19"),
        ),
    )
    table = event_study(market(), calendar, SMALL).catalysts.set_index("catalyst_id")
    assert table["overlaps"].to_dict() == {"zec-a": "zec-b", "zec-b": "zec-a", "dash-c": "", "zec-d": ""}
    assert table["overlaps_other"].to_dict() == {
        "zec-a": "dash-c",
        "zec-b": "dash-c",
        "dash-c": "zec-a,zec-b",
        "zec-d": "",
    }
    assert table["overlaps_estimation"].to_dict() == {
        "zec-a": "",
        "zec-b": "zec-a",
        "dash-c": "",
        "zec-d": "zec-a,zec-b",
    }
    assert table["confounded"].to_dict() == {"zec-a": "zec-b", "zec-b": "zec-a", "dash-c": "", "zec-d": ""}


def test_volume_is_measured_against_its_own_hours(base: Market, made: Study) -> None:
    """Twice the volume on the day adds log 2 to its mean abnormal log volume, and that is 24 hourly OLS forecasts."""
    onset = 14 * 24
    doubled = event_study(changed(base, "volume", slice(onset, onset + 24), 2, 2.0), CALENDAR, SMALL)
    before, after = one(made, "zec-day"), one(doubled, "zec-day")
    assert after["volume_announcement"] - before["volume_announcement"] == pytest.approx(np.log(2))
    assert after["volume_run_up"] == pytest.approx(before["volume_run_up"])
    logs, hour = np.log(base.volume[:, 2]), np.arange(len(base.index)) % 24
    inside = slice(onset - 138, onset - 18)
    usual = pd.Series(logs[inside]).groupby(hour[inside]).mean()
    expected = (logs[onset : onset + 24] - usual.to_numpy()).mean()
    assert before["volume_announcement"] == pytest.approx(expected)
    rest = made.effects.query("measure == 'volume' and grouping == 'all'")
    assert rest["mean"].abs().max() < 0.25


def test_open_interest_is_measured_in_log_changes(base: Market, made: Study) -> None:
    onset = 14 * 24
    grown = event_study(changed(base, "open_interest", slice(onset + 5, None), 2, 1.5), CALENDAR, SMALL)
    change = one(grown, "zec-day")["open_interest_announcement"] - one(made, "zec-day")["open_interest_announcement"]
    assert change == pytest.approx(np.log(1.5))
    unknown = event_study(replace(base, open_interest=np.full(base.close.shape, np.nan)), CALENDAR, SMALL)
    assert "open interest: unknown around every catalyst, so nothing is said of it" in unknown.notes
    assert unknown.catalysts["open_interest_announcement"].isna().all()
    assert set(unknown.effects["measure"]) == {"return", "volume"}


def test_below_the_minimum_only_the_placebo_speaks(base: Market, made: Study) -> None:
    rows = made.effects[made.effects["measure"] == "return"].set_index(["group", "span"])
    assert rows.loc[("all", "announcement"), "method"] == "kolari_pynnonen"
    assert rows.loc[("all", "announcement"), "p_value"] == rows.loc[("all", "announcement"), "asymptotic_p"]
    assert not np.isnan(rows.loc[("all", "announcement"), "low"])
    small = rows.loc[("Hayes", "announcement")]
    assert small["method"] == "placebo"
    assert small["p_value"] == small["placebo_p"]
    assert np.isnan([small["low"], small["high"], small["asymptotic_p"]]).all()
    assert small["chance_low"] < small["chance_high"]
    assert not made.tests[made.tests["group"] == "Hayes"].size
    strict = event_study(base, CALENDAR, SMALL.model_copy(update={"minimum_catalysts": 5}))
    assert (strict.effects["method"] == "placebo").all()
    assert strict.tests.empty
    assert strict.paths["low"].isna().all()


def test_two_catalysts_of_one_coin_and_day_are_one_observation(base: Market) -> None:
    rows = tuple(catalyst(f"zec-{k}", ("ZEC",), "2025-09-15") for k in range(4))
    study = event_study(base, Calendar("same", (*rows, catalyst("dash-day", ("DASH",), "2025-09-28"))), SMALL)
    everything = study.effects.query("measure == 'return' and grouping == 'all'")
    assert everything["n"].tolist() == [2] * 4
    assert everything["catalysts"].tolist() == [5] * 4
    once = event_study(base, Calendar("once", (rows[0], catalyst("dash-day", ("DASH",), "2025-09-28"))), SMALL)
    compared = study.effects.drop(columns="catalysts"), once.effects.drop(columns="catalysts")
    pd.testing.assert_frame_equal(*(table[table["group"].isin(["all", "ZEC"])] for table in compared))
    pd.testing.assert_frame_equal(study.path(), once.path())
    pd.testing.assert_frame_equal(study.tests, once.tests)
    assert (everything["method"] == "placebo").all()
    zec = study.effects.query("measure == 'return' and group == 'ZEC'")
    assert (zec["statistic"] == "scar").all()
    assert zec["placebo_p"].notna().all()


def test_p_of_one_catalyst_is_its_rank_among_all_days(base: Market) -> None:
    """Every day of the circle by hand; days without room for the windows are read from a second lap."""
    study = event_study(base, Calendar("alone", (catalyst("zec-day", ("ZEC",), "2025-09-15"),)), SMALL)
    panel = resample(base, None)
    assert len(panel.close) == 40 * 24
    source = twice(series(panel, "return", "market", COINS, (0,)), 40 * 24)
    rows = [FitRow((2,), (day if day * 24 - 12 - 6 - 120 >= 1 else day + 40) * 24, 24) for day in range(40)]
    found = cumulate(fit(source, rows, SMALL.windows(HOUR), 60), [[0, 0]]).scar[:, 0]
    scores = np.abs(found[~np.isnan(found)])
    assert one(study, "zec-day")["placebo_dates"] == 39
    p = study.effects.query("measure == 'return' and grouping == 'all' and span == 'announcement'")
    assert p["placebo_p"].tolist() == pytest.approx([(scores >= abs(found[14])).mean()])
    assert p["least_p"].tolist() == pytest.approx([1 / len(scores)])


def test_a_planted_effect_is_found_where_it_was_planted(base: Market) -> None:
    """One jump of 0.3 on each of five days, no two pairs of them equally far apart: no shift meets two jumps."""
    days = ("2025-09-08", "2025-09-14", "2025-09-22", "2025-09-29", "2025-10-08")
    rows = [catalyst(f"zec-{day}", ("ZEC",), day) for day in days]
    lifted = base
    for day in days:
        start = int((pd.Timestamp(day, tz="UTC") - START) / pd.Timedelta("1h")) + 6
        lifted = changed(lifted, "close", slice(start, None), 2, np.exp(0.3))
    study = event_study(lifted, Calendar("lifted", tuple(rows)), SMALL.model_copy(update={"before": "6h"}))
    table = study.effects.query("measure == 'return' and grouping == 'all'").set_index("span")
    assert table["mean"]["announcement"] == pytest.approx(0.3, abs=0.1)
    assert table["adjusted_p"]["announcement"] < 0.01
    assert table["placebo_p"]["announcement"] < 0.05
    assert (table["adjusted_p"].drop("announcement") > 0.05).all()
    path = study.path()
    assert path["mean"][-1] == pytest.approx(0.0, abs=0.1)
    assert path["mean"][0] > path["chance_high"][0]


def test_a_lone_catalyst_is_not_the_edge_of_its_own_band(base: Market) -> None:
    """It has some thirty dates, so the real one, were it among the draws, would be their upper 0.5 %."""
    start = int((pd.Timestamp("2025-09-22", tz="UTC") - START) / pd.Timedelta("1h")) + 6
    lifted = changed(base, "close", slice(start, None), 2, np.exp(0.5))
    config = SMALL.model_copy(update={"level": 0.99})
    path = event_study(lifted, Calendar("one", (catalyst("zec-one", ("ZEC",), "2025-09-22"),)), config).path()
    assert path["mean"][0] > path["chance_high"][0] + 0.2


def test_paths_plot_directly(made: Study) -> None:
    assert made.car.columns.tolist() == made.catalysts["catalyst_id"].tolist()
    assert made.car.index.tolist() == list(range(-12, 25))
    last = made.catalysts.set_index("catalyst_id")
    whole = last["run_up"] + last["announcement"] + last["after_1d"]
    np.testing.assert_allclose(made.car.loc[24], whole)
    path = made.path()
    np.testing.assert_allclose(path["mean"], made.car.mean(axis=1))
    np.testing.assert_allclose(path["median"], made.car.median(axis=1))
    assert (path["low"] < path["mean"]).all()
    assert (path["mean"] < path["high"]).all()
    assert made.path("Hayes", grouping="actor", measure="volume").shape == (37, 7)
    with pytest.raises(UsageError, match="path 'return/actor/Hayez' is unknown"):
        made.path("Hayez", grouping="actor")


def test_the_seed_decides_the_placebo_and_nothing_else(base: Market, made: Study) -> None:
    again = event_study(base, CALENDAR, SMALL)
    for name in ("catalysts", "legs", "rejected", "effects", "tests", "paths", "car", "influencers"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(made, name))
    other = event_study(base, CALENDAR, SMALL.model_copy(update={"seed": 7}))
    pd.testing.assert_frame_equal(other.catalysts, made.catalysts)
    pd.testing.assert_frame_equal(other.effects, made.effects)
    few = [event_study(base, CALENDAR, SMALL.model_copy(update={"seed": seed, "draws": 19})) for seed in (1, 7)]
    drawn = (few[0].effects["n"] > 2) & (few[0].effects["grouping"] == "all")
    assert (few[0].effects.loc[drawn, "placebo_p"] != few[1].effects.loc[drawn, "placebo_p"]).any()
    pd.testing.assert_series_equal(few[0].effects["asymptotic_p"], made.effects["asymptotic_p"])


def test_what_comes_after_the_window_changes_no_car(base: Market, made: Study) -> None:
    """The window of zec-minute ends on 09-25 at 04:00."""
    cut = int((pd.Timestamp("2025-09-25 04:00", tz="UTC") - START) / pd.Timedelta("1h"))
    rng = np.random.default_rng(3)
    wild = changed(base, "close", slice(cut, None), 2, 1.0)
    noise = np.array(base.close)
    noise[cut:] *= np.exp(rng.standard_normal(noise[cut:].shape))
    wild = replace(base, open=noise, high=noise, low=noise, close=noise)
    later = event_study(wild, CALENDAR, SMALL)
    names = [*made.spans, *(f"t_{name}" for name in made.spans), "alpha", "sigma"]
    for identifier in ("zec-day", "zec-minute"):
        assert one(later, identifier)[names].tolist() == one(made, identifier)[names].tolist()
    assert one(later, "dash-day")["announcement"] != one(made, "dash-day")["announcement"]


def test_multiplicity_is_paid_within_a_grouping(made: Study) -> None:
    rows = made.effects.query("measure == 'return' and grouping == 'all'")
    p = rows["p_value"].to_numpy()
    order = np.argsort(p)
    holm = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    np.testing.assert_allclose(rows["adjusted_p"].to_numpy()[order], holm)


def test_moves_of_the_price_itself_count_in_no_mean_but_their_own(base: Market, made: Study) -> None:
    moves = [catalyst("zec-record", ("ZEC",), "2025-09-25", kind="price_record", actor="market")]
    calendar = Calendar("with moves", (*CALENDAR, *moves))
    found = event_study(base, calendar, SMALL)
    keys = ["measure", "grouping", "group", "span"]
    values = ["n", "catalysts", "mean", "median"]
    headline = found.effects[found.effects["grouping"] != "endogenous"].reset_index(drop=True)
    pd.testing.assert_frame_equal(headline[keys + values], made.effects[keys + values])
    apart = found.effects[found.effects["grouping"] == "endogenous"]
    assert set(apart["catalysts"]) == {1}
    assert found.catalysts.set_index("catalyst_id")["endogenous"].to_dict()["zec-record"]
    assert any("1 of " in note and "zec-record" in note for note in found.notes)
    whole = event_study(base, calendar, SMALL.model_copy(update={"endogenous": True}))
    assert not (whole.effects["grouping"] == "endogenous").any()
    assert whole.effects["catalysts"].iloc[0] == made.effects["catalysts"].iloc[0] + 1
    named = event_study(base, calendar, SMALL.model_copy(update={"kinds": ("price_record",)}))
    assert named.effects["catalysts"].iloc[0] == 1
    with pytest.raises(DataError, match="moves of the price itself and left out"):
        event_study(base, Calendar("moves", tuple(moves)), SMALL)


def test_influencers_are_ranked_in_the_direction_called(base: Market, made: Study) -> None:
    assert made.influencers["actor"].tolist() == ["Hayes"]
    row = made.influencers.iloc[0]
    effects = [one(made, "zec-minute")["after_1d"], -one(made, "dash-day")["after_1d"]]
    assert row["calls"] == 2
    assert row["mean"] == pytest.approx(np.mean(effects))
    assert row["hit_rate"] == np.mean(np.array(effects) > 0)
    assert row["span"] == "after_1d"
    assert row["shrunken"] == pytest.approx(row["mean"] * row["kept"])
    # Alone, tau^2 is what y^2 exceeds v by.
    assert row["kept"] == pytest.approx(max(0.0, 1 - row["error"] ** 2 / row["mean"] ** 2))
    nobody = event_study(base, CALENDAR, SMALL.model_copy(update={"calls": ("security",)}))
    assert nobody.influencers.empty


def test_shrinkage_by_hand() -> None:
    """Y = 2, -2, 1 with v = 1: sum y^2 = 9 = 3 (1 + tau^2), so tau^2 = 2 and two thirds are kept."""
    found = shrink(np.array([2.0, -2.0, 1.0]), np.ones(3))
    np.testing.assert_allclose(found.effect, [4 / 3, -4 / 3, 2 / 3])
    assert found.spread == pytest.approx(np.sqrt(2))
    # 4/(1 + t) + 4/(4 + t) = 2 gives t^2 + t - 6 = 0, t = 2.
    unequal = shrink(np.array([2.0, 2.0, np.nan]), np.array([1.0, 4.0, 1.0]))
    np.testing.assert_allclose(unequal.weight, [2 / 3, 1 / 3, np.nan])
    # Means that scatter less than chance keep nothing.
    np.testing.assert_array_equal(shrink(np.array([0.5, -0.5]), np.ones(2)).effect, [0.0, 0.0])
    assert shrink(np.array([]), np.array([])).effect.size == 0
    with pytest.raises(UsageError, match="variance holds 0"):
        shrink(np.array([1.0]), np.array([0.0]))


def test_variance_of_a_mean_counts_what_calls_share() -> None:
    """Deviations 1 and 2, correlation 1/2: (1 + 4 + 2 * 1/2 * 2) / 4; opposite calls on one move nearly cancel."""
    shared = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert mean_variance(np.array([1.0, 2.0]), shared, np.ones(2)) == pytest.approx(7 / 4)
    assert mean_variance(np.array([1.0, 2.0]), shared, np.array([1.0, -1.0])) == pytest.approx(3 / 4)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.01, 1))
def test_shrinkage_never_turns_or_grows_an_effect(means: list[float], variance: float) -> None:
    found = shrink(np.array(means), np.full(len(means), variance))
    assert (np.abs(found.effect) <= np.abs(means)).all()
    assert (found.effect * np.array(means) >= 0).all()


@pytest.mark.parametrize(
    ("model", "timeframe", "entered"),
    [("market", None, 20), ("market_adjusted", "4h", 20), ("market", "1d", 18), ("mean_adjusted", "1d", 19)],
)
def test_every_model_and_timeframe_studies_the_sample(model: str, timeframe: str | None, entered: int) -> None:
    config = StudyConfig(model=model, timeframe=timeframe, draws=50, benchmarks=("BTC", "ETH"))  # type: ignore[arg-type]
    study = event_study(open_dataset("privacy-2025-sample"), open_calendar("privacy-2025"), config)
    # BTC and ETH explain everything, so a crash of both is studied by no market model; daily, the two of 10-01 lack
    # half an estimation window.
    assert len(study.catalysts) == entered
    of_all = study.rejected[study.rejected["measure"].isin(["", "return"])]
    reasons = {"UNTIMED"} | ({"NO_BENCHMARK"} if model != "mean_adjusted" else set())
    assert set(of_all["reason"]) == reasons | ({"SHORT_ESTIMATION"} if timeframe == "1d" else set())
    assert study.notes[0].startswith("RECONSTRUCTED: ")
    assert set(study.effects["measure"]) == {"return", "volume", "open_interest"}
    assert study.catalysts[["run_up", "announcement", "after_3d", "volume_after_3d"]].notna().all(axis=None)
    assert study.effects["p_value"].between(0, 1).all()
    assert study.influencers["actor"].tolist()[0] == "Vitalik Buterin"


def test_the_real_bars_name_every_catalyst(shared: Path) -> None:
    real = open_dataset(str(shared / "market" / "binance-usdm-2025q4"))
    calendar = open_calendar("privacy-2025")
    study = event_study(real, calendar)
    table = study.catalysts.set_index("catalyst_id")
    assert len(table) == 20
    assert table[["run_up", "announcement", "after_1d", "after_3d"]].notna().all(axis=None)
    returns = study.rejected[study.rejected["measure"].isin(["", "return"])]
    assert returns[["catalyst_id", "asset", "reason"]].values.tolist() == [
        ["rail-2025-10-08-kohaku", "RAIL", "NO_INSTRUMENT"],
        ["market-2025-10-10-crash", "BTC", "NO_BENCHMARK"],
        ["market-2025-10-10-crash", "DCR", "NO_INSTRUMENT"],
        ["market-2025-10-10-crash", "RAIL", "NO_INSTRUMENT"],
        ["zec-2025-10-mert", "", "UNTIMED"],
        ["zec-2025-10-hayes-repeat", "", "UNTIMED"],
        ["zk-2025-10-atlas", "", "UNTIMED"],
        ["dash-2025-11-roadmap", "", "UNTIMED"],
        ["sector-2025-11-listings", "", "UNTIMED"],
        ["zec-2025-11-cypherpunk-second", "", "UNTIMED"],
    ]
    assert "open interest: unknown around every catalyst, so nothing is said of it" in study.notes
    zec, btc = real.column("ZEC/USDT:USDT"), real.column("BTC/USDT:USDT")
    config = StudyConfig()
    for identifier, announced, known in (
        ("zec-2025-10-01-grayscale-trust", "2025-10-01T00:00Z", "2025-10-02T00:00Z"),
        ("zec-2025-11-06-okx-perpetual", "2025-11-06T03:00Z", "2025-11-06T04:00Z"),
    ):
        for name, value in naive_car(real, zec, btc, announced, known, config).items():
            assert table.loc[identifier, name] == pytest.approx(value, rel=1e-9), (identifier, name)
    # Daily, the first catalysts lack half an estimation window: named, not dropped.
    daily = event_study(real, calendar, StudyConfig(timeframe="1d"))
    short = daily.rejected[daily.rejected["reason"] == "SHORT_ESTIMATION"].query("measure == 'return'")
    assert short["catalyst_id"].tolist() == ["zec-2025-10-01-grayscale-trust", "zec-2025-10-01-naval"]
    assert len(daily.catalysts) == 18
