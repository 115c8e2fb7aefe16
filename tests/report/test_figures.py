"""Each figure of a run or study shows what its records hold: axes, labels, lengths, extents, worked out anew here."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from backtest.base.config import RunConfig, load_config
from backtest.base.errors import UsageError
from backtest.base.units import TimeRange
from backtest.catalysts.claims import Check, Claim
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.engine.layout import CostBreakdown
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Market
from backtest.report import figures
from backtest.report.figures import style
from backtest.report.figures.numbers import computed_once, shared
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.fan import Fan
from backtest.scoring.scorecard import CapacityCurve, Scorecard
from backtest.signals.strategy import Intent, Intents
from backtest.strategies import REGISTRY
from backtest.study.settings import StudyConfig
from backtest.study.study import Study, event_study

ZEC = "ZEC/USDT:USDT"
TRUST = "zec-2025-10-01-grayscale-trust"
HOUR = 1.0 / 24.0


def altered(run: Run, market: Market | None = None, config: RunConfig | None = None, **tables: object) -> Run:
    """The run with another market or configuration, or with tables that a figure reads in place of its own."""
    twin = copy.copy(run)
    bound = replace(run.prepared, market=market or run.market, config=config or run.config)
    object.__setattr__(twin, "prepared", bound)
    vars(twin).update(tables)
    return twin


HOSTILE = ("<script>alert(1)</script>" + "W" * 150, "\u202egnihton $\\nope{1}$ $x$ 币安 \N{PILE OF POO}")


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Two strategies on the sample, a quarter of the catalysts by actors of hostile names; no placebos."""
    catalysts = [
        replace(one, actor=HOSTILE[number // 4 % 2]) if number % 4 == 3 else one
        for number, one in enumerate(open_calendar("privacy-2025"))
    ]
    chosen = [REGISTRY[name]() for name in ("catalyst_momentum", "relative_value")]
    market = open_dataset(default_dataset())
    return evaluate(chosen, market, Calendar("hostile", tuple(catalysts)), plan=None, bootstrap=0)


@pytest.fixture(scope="session")
def momentum(evaluation: Evaluation) -> Run:
    return next(run for run in evaluation.runs if run.strategy == "catalyst_momentum")


@pytest.fixture(scope="session")
def study(evaluation: Evaluation) -> Study:
    return event_study(
        evaluation.market, evaluation.calendar, StudyConfig(draws=40, timeframe="4h", groups=("kind", "actor"))
    )


def idle(run: Run) -> Run:
    return replay(run.market, Intents(()), run.config, strategy="idle")


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def day_of(text: str) -> float:
    return pd.Timestamp(text, tz="UTC").timestamp() / 86_400


def line_of(axes: Axes, length: int) -> np.ndarray:
    """(2, L) the one line of at least this length."""
    (found,) = [one.get_data() for one in axes.lines if len(one.get_xdata()) >= length]
    return np.asarray(found, dtype=np.float64)


def extent(axes: Axes, which: int) -> tuple[float, float]:
    """Least and greatest y of the filled areas, in order of drawing."""
    path = axes.collections[which].get_paths()[0].vertices
    return float(path[:, 1].min()), float(path[:, 1].max())


def test_a_timeline_holds_bars_catalysts_and_fills(evaluation: Evaluation, momentum: Run) -> None:
    market, calendar = evaluation.market, evaluation.calendar
    data = figures.timeline_data(momentum, calendar, ZEC)
    bars, catalysts, fills = (data[data["record"] == name] for name in ("bar", "catalyst", "fill"))
    column = market.symbols.index(ZEC)
    assert len(bars) == len(market.index) == 2_616
    np.testing.assert_array_equal(bars["price"], market.close[:, column])
    np.testing.assert_array_equal(bars["open_interest"], market.open_interest[:, column])
    assert bars["time"].iloc[0] == market.index[0] + pd.Timedelta("1h")
    assert catalysts["number"].tolist() == list(range(1, 12))
    assert catalysts["name"].iloc[0] == "zec-2025-10-01-grayscale-trust"
    assert catalysts["time"].iloc[0] == pd.Timestamp("2025-10-02", tz="UTC")
    mine = momentum.fills[momentum.fills["instrument"] == ZEC]
    assert sorted(fills["price"]) == sorted(mine["price"])
    assert data["time"].is_monotonic_increasing

    figure = figures.timeline(momentum, calendar, ZEC)
    strip, price, *others = figure.axes
    assert [axes.get_ylabel() for axes in (price, *others)] == ["price", "volume", "open int.", "funding"]
    assert [one.get_text() for one in strip.texts] == [str(number) for number in range(1, 12)]
    assert price.get_yscale() == "log"
    assert price.get_xlim() == (day_of("2025-09-14"), day_of("2026-01-01"))
    x, y = line_of(price, 400)
    assert (y.min(), y.max()) == (np.nanmin(market.close[:, column]), np.nanmax(market.close[:, column]))
    assert (x[0], x[-1]) == (day_of("2025-09-14") + HOUR, day_of("2026-01-01"))
    assert sum(len(one.get_xdata()) for one in price.lines if one.get_marker() in "^v") == len(mine)
    assert extent(others[0], 0)[1] == np.nanmax(market.volume[:, column])
    stems = np.concatenate([np.asarray(one.get_ydata()) for one in others[2].lines])
    assert np.nanmin(stems) == np.nanmin(market.funding[:, column])
    assert np.nanmax(stems) == np.nanmax(market.funding[:, column])
    assert any("influencer call" in text for text in texts(figure))


def test_unknown_open_interest_is_a_gap_and_not_zero(evaluation: Evaluation, momentum: Run) -> None:
    held = momentum.market.open_interest.copy()
    held[:300], held[1000:1500] = np.nan, np.nan
    market = replace(momentum.market, open_interest=held)
    axes = figures.timeline(altered(momentum, market=market), evaluation.calendar, ZEC).axes[3]
    first, second = (path.vertices[:, 0] for path in axes.collections[0].get_paths())
    start = day_of("2025-09-14") + HOUR
    np.testing.assert_allclose((first.min(), second.min()), (start + 300 * HOUR, start + 1500 * HOUR), atol=8 * HOUR)
    assert first.max() <= start + 1000 * HOUR
    unknown = replace(momentum.market, open_interest=np.full_like(held, np.nan))
    figure = figures.timeline(altered(momentum, market=unknown), evaluation.calendar, ZEC)
    assert "open int." not in [one.get_ylabel() for one in figure.axes]
    assert "Unknown here: open interest." in " ".join(texts(figure))


def test_the_numbers_of_a_timeline_do_not_cover_each_other(evaluation: Evaluation, momentum: Run) -> None:
    strip = figures.timeline(momentum, evaluation.calendar, ZEC).axes[0]
    places = [one.get_position() for one in strip.texts]
    width = strip.get_xlim()[1] - strip.get_xlim()[0]
    for number, (x, y) in enumerate(places):
        for other, level in places[:number]:
            assert level != y or abs(other - x) >= 0.19 / 7.0 * width


def test_a_timeline_takes_the_most_traded_instrument_or_the_first(evaluation: Evaluation, momentum: Run) -> None:
    most = momentum.trades["instrument"].value_counts()
    title = figures.timeline(momentum, evaluation.calendar).get_label()
    assert any(name in str(title) for name in most.index[most == most.max()])
    figure = figures.timeline(idle(momentum), evaluation.calendar)
    assert evaluation.market.symbols[0] in str(figure.get_label())
    with pytest.raises(UsageError, match="'XXX' is not in market"):
        figures.timeline(momentum, evaluation.calendar, "XXX")


def test_a_replay_panel_tells_missed_from_captured(evaluation: Evaluation, momentum: Run) -> None:
    """Known at midnight of the 2nd, announced somewhere in the 1st, held for three days: 24 and 72 hourly bars."""
    catalyst = evaluation.calendar[TRUST]
    (trade,) = momentum.trades[momentum.trades["catalyst_id"] == TRUST].to_dict("records")
    data = figures.replay_panel_data(momentum, catalyst)
    assert data["stage"].value_counts().to_dict() == {"earlier": 24, "before": 24, "captured": 72, "after": 24}
    market = evaluation.market
    row = market.index.get_loc(pd.Timestamp("2025-10-01", tz="UTC"))
    before = data[data["stage"] == "before"]
    np.testing.assert_array_equal(before["price"], market.close[row : row + 24, market.symbols.index(ZEC)])
    np.testing.assert_array_equal(before["low"], market.low[row : row + 24, market.symbols.index(ZEC)])

    figure = figures.replay_panel(momentum, catalyst)
    (axes,) = figure.axes
    missed, captured = (one for one in axes.patches if isinstance(one, Rectangle))
    assert missed.get_hatch()
    assert not captured.get_hatch()
    spans = [(one.get_x(), one.get_x() + one.get_width()) for one in (missed, captured)]
    dates = [day_of(text) for text in ("2025-10-01", "2025-10-02", "2025-10-05")]
    np.testing.assert_allclose(spans, [dates[:2], dates[1:]], atol=1e-9)
    marks = {one.get_marker(): one.get_data() for one in axes.lines if one.get_marker() in ("^", "v")}
    np.testing.assert_allclose(marks["^"], [[dates[1]], [trade["entry_price"]]])
    np.testing.assert_allclose(marks["v"], [[dates[2]], [trade["exit_price"]]])
    told = " ".join(texts(figure))
    for share in (trade["before"], trade["waited"], trade["captured"], trade["net_return"]):
        assert f"{share:+.1%}".replace("-", "\N{MINUS SIGN}") in told
    assert "left by time 5 Oct 00:00" in told


def test_both_legs_of_a_pair_have_their_panel(evaluation: Evaluation) -> None:
    pair = next(run for run in evaluation.runs if run.strategy == "relative_value")
    identifier = next(name for name, rows in pair.trades.groupby("catalyst_id") if len(rows) == 2)
    figure = figures.replay_panel(pair, evaluation.calendar[identifier])
    mine = pair.trades[pair.trades["catalyst_id"] == identifier]
    assert {axes.get_ylabel() for axes in figure.axes} == set(mine["instrument"])


@pytest.mark.parametrize(
    ("identifier", "axes", "sentence"),
    [
        ("zec-2025-10-01-naval", 1, "Not traded: in position."),
        ("zec-2025-10-mert", 0, "is untimed: not even its day is known"),
    ],
)
def test_a_catalyst_without_a_trade_says_why(
    evaluation: Evaluation, momentum: Run, identifier: str, axes: int, sentence: str
) -> None:
    figure = figures.replay_panel(momentum, evaluation.calendar[identifier])
    assert len(figure.axes) == axes
    assert any(sentence in text for text in texts(figure))
    assert len(figures.replay_panel_data(momentum, evaluation.calendar[identifier])) == (48 if axes else 0)


def test_numbers_are_computed_once_and_every_table_is_its_own() -> None:
    asked = []

    @shared
    def numbers(run: object, level: float = 0.0) -> pd.DataFrame:
        asked.append(run)
        return pd.DataFrame({"level": [level, 1.0]})

    one, other = object(), object()
    with computed_once():
        first = numbers(one)
        first["level"] = 7.0
        assert numbers(one)["level"].tolist() == [0.0, 1.0]
        assert numbers(one, level=2.0)["level"].tolist() == [2.0, 1.0]
        assert numbers(other)["level"].tolist() == [0.0, 1.0]
    assert asked == [one, one, other]
    assert numbers(one).equals(numbers(one))
    assert asked == [one, one, other, one, one]


def test_equity_stands_before_its_fan(momentum: Run) -> None:
    # It begins below the capital, which counts as its first height.
    momentum = altered(momentum, equity=0.9 * momentum.equity)
    held = momentum.equity.to_numpy()
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    fan = Fan("shift", levels, np.outer(levels + 0.5, held), 200)
    data = figures.equity_data(momentum, fan)
    peak, falls = momentum.config.capital, []
    for value in held:
        peak = max(peak, value)
        falls.append(value / peak - 1.0)
    np.testing.assert_allclose(data["drawdown"], falls, atol=1e-15)
    assert list(data.columns[3:]) == ["placebo_05", "placebo_25", "placebo_50", "placebo_75", "placebo_95"]
    np.testing.assert_array_equal(data["placebo_75"], 1.25 * held)

    figure = figures.equity(momentum, fan)
    top, bottom = figure.axes
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("equity (quote)", "drawdown")
    outer, inner = extent(top, 0), extent(top, 1)
    np.testing.assert_allclose(outer, (0.55 * held.min(), 1.45 * held.max()))
    np.testing.assert_allclose(inner, (0.75 * held.min(), 1.25 * held.max()))
    curves = [np.asarray(one.get_ydata()) for one in top.lines if len(one.get_xdata()) > 2]
    assert [(one.min(), one.max()) for one in curves] == [(held.min(), held.max())] * 2
    assert extent(bottom, 0) == (min(falls), 0.0)
    told = " ".join(texts(figure))
    assert "200 placebo calendars (shift)" in told
    assert "placebos, 5% to 95%" in told


def test_equity_without_a_fan_says_why_and_wide_equity_is_logarithmic(momentum: Run) -> None:
    absent = Fan("shift", np.array([0.5]), np.full((1, len(momentum.equity)), np.nan), 0, "it has no events to move")
    figure = figures.equity(momentum, absent)
    assert any("No placebo: it has no events to move." in text for text in texts(figure))
    assert "placebo_50" not in figures.equity_data(momentum, absent)
    assert figure.axes[0].get_yscale() == "linear"
    grown = altered(momentum, equity=momentum.equity * np.linspace(1.0, 4.0, len(momentum.equity)))
    assert figures.equity(grown).axes[0].get_yscale() == "log"
    lost = altered(momentum, equity=momentum.equity * np.linspace(1.0, 0.0, len(momentum.equity)))
    assert figures.equity(lost).axes[0].get_yscale() == "linear"


def test_costs_fall_from_gross_to_net_by_hand(momentum: Run) -> None:
    run = altered(
        momentum, costs=CostBreakdown(100.0, 10.0, 5.0, 90.0, -2.0, 0.0, -3.0), config=load_config(capital=1000)
    )
    data = figures.costs_data(run)
    assert data["step"].tolist() == ["gross", "fees", "slippage", "impact", "funding", "liquidation", "net"]
    assert data["amount"].tolist() == [100, -10, -5, -90, 2, 0, -3]
    assert data["from_level"].tolist() == [0, 100, 90, 85, -5, -3, 0]
    assert data["to_level"].tolist() == [100, 90, 85, -5, -3, -3, -3]
    assert data["share"].iloc[0] == 0.1
    figure = figures.costs(run)
    (axes,) = figure.axes
    bars = [one for one in axes.patches if isinstance(one, Rectangle)]
    assert [one.get_y() for one in bars] == data["from_level"].tolist()
    assert [one.get_height() for one in bars] == [100, -10, -5, -90, 2, 0, -3]
    hatches = [one.get_hatch() or "" for one in bars]
    assert hatches[0] == hatches[-1] == ""
    assert hatches[1] != hatches[4]
    assert [one.get_text() for one in axes.get_xticklabels()] == data["step"].tolist()
    assert "\N{MINUS SIGN}90\n\N{MINUS SIGN}9.00%" in texts(figure)


def test_nothing_traded_is_said_and_not_drawn(momentum: Run) -> None:
    figure = figures.costs(idle(momentum))
    assert not figure.axes
    assert any("No trade was closed" in text for text in texts(figure))


def card(name: str, net: list[float], half: float) -> Scorecard:
    curve = CapacityCurve(np.array([1e4, 1e5, 1e6]), np.array(net), half)
    return Scorecard(name, (), None, curve, "not tested", "", None)  # type: ignore[arg-type]


def test_capacity_marks_the_half_point() -> None:
    cards = [card("one", [0.4, 0.15, 0.1], 1e5), card("other", [-0.1, -0.2, -0.3], math.nan)]
    data = figures.capacity_data(cards)
    assert data["strategy"].tolist() == ["one"] * 3 + ["other"] * 3
    assert data["half_point"].tolist() == [False, True, False, False, False, False]
    figure = figures.capacity(cards)
    one, other = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["one", "other"]
    assert one.get_xscale() == "log"
    curve, half = one.lines[0], next(line for line in one.lines if line.get_marker() == "D")
    np.testing.assert_array_equal(curve.get_data(), ([1e4, 1e5, 1e6], [0.4, 0.15, 0.1]))
    np.testing.assert_array_equal(half.get_data(), ([1e5], [0.15]))
    assert not [line for line in other.lines if line.get_marker() == "D"]
    assert not figures.capacity([]).axes
    assert figures.capacity_data([]).empty


def test_abnormal_returns_are_the_growth_of_the_study(study: Study) -> None:
    data = figures.abnormal_returns_data(study)
    path = study.path()
    np.testing.assert_allclose(data["mean"], np.exp(path["mean"]) - 1.0, rtol=1e-12)
    figure = figures.abnormal_returns(study)
    (axes,) = figure.axes
    assert axes.get_title("left") == f"all, n = {path['n'].max()}"
    assert axes.get_xlim() == (-48.0, 72.0)
    assert axes.get_xlabel() == "hours from the announcement"
    *_, median, mean = axes.lines
    np.testing.assert_allclose(mean.get_ydata(), np.expm1(path["mean"]), rtol=1e-12)
    np.testing.assert_allclose(median.get_ydata(), np.expm1(path["median"]), rtol=1e-12)
    chance = np.expm1(path[["chance_low", "chance_high"]].to_numpy())
    np.testing.assert_allclose(extent(axes, 0), (chance.min(), chance.max()))
    inner = np.expm1(path[["low", "high"]].to_numpy())
    np.testing.assert_allclose(extent(axes, 1), (inner.min(), inner.max()))


def test_small_multiples_say_n_and_share_their_scale(study: Study) -> None:
    figure = figures.abnormal_returns(study, "kind")
    counts = study.catalysts["kind"].value_counts()
    shown = [axes for axes in figure.axes if axes.axison]
    assert {axes.get_title("left") for axes in shown} == {
        f"{kind.replace('_', ' ').replace('oi', 'OI')}, n = {n}" for kind, n in counts.items()
    }
    assert shown[0].get_title("left") == "influencer call, n = 7"
    assert len({axes.get_ylim() for axes in shown}) == 1
    with pytest.raises(UsageError, match="grouping 'planet' is not in the study"):
        figures.abnormal_returns(study, "planet")


def test_influencers_have_both_estimates_and_their_intervals(study: Study) -> None:
    table = study.influencers.assign(kept=0.25, shrunken=0.25 * study.influencers["mean"])
    study = replace(study, influencers=table)
    data = figures.influencers_data(study)
    z = 1.959963984540054
    for row, source in zip(data.to_dict("records"), table.to_dict("records"), strict=True):
        assert row["mean_high"] == pytest.approx(math.exp(source["mean"] + z * source["error"]) - 1.0)
        spread = z * math.sqrt(source["kept"]) * source["error"]
        assert row["low"] == pytest.approx(math.exp(source["shrunken"] - spread) - 1.0)
    figure = figures.influencers(study)
    (axes,) = figure.axes
    raw, shrunken = (np.asarray(one.get_xdata()) for one in axes.lines if one.get_marker() == "o")
    np.testing.assert_allclose(raw, np.expm1(table["mean"]))
    np.testing.assert_allclose(shrunken, np.expm1(table["shrunken"]))
    assert [len(one.get_segments()) for one in axes.collections if isinstance(one, LineCollection)] == [len(table)] * 2
    assert len(axes.get_yticklabels()) == len(table)
    assert sum(text.startswith("n = ") for text in texts(figure)) == len(table)
    low, high = axes.get_xlim()
    assert low < data["mean_low"].min()
    assert high > data["mean_high"].max()


def checks() -> list[Check]:
    def claim(identifier: str, claimed: float, **more: object) -> Claim:
        return Claim(id=identifier, says="s", subject="ZEC", claimed=claimed, unit="USD", measure="", **more)  # type: ignore[arg-type]

    return [
        Check(claim("never-measured", 5.0), "not measurable", None, "", "no data"),
        Check(claim("as-claimed", 10.0), "confirmed", 10.2, "", ""),
        Check(claim("far-beyond", 10.0), "contradicted", 1e6, "", ""),
        Check(claim("other-sign", 10.0, sense="at_least"), "contradicted", -3.0, "", ""),
    ]


def test_claims_lie_at_their_ratio_and_far_ones_at_the_edge() -> None:
    data = figures.claims_data(checks())
    assert data["claim"].tolist() == ["as-claimed", "far-beyond", "other-sign", "never-measured"]
    assert data["ratio"].tolist()[:3] == [1.02, 1e5, -0.3]
    figure = figures.claims(checks())
    (axes,) = figure.axes
    points = {
        one.get_marker(): one.get_data() for one in axes.lines if len(one.get_xdata()) and one.get_marker() != "None"
    }
    assert set(points) == {"o", "X"}
    np.testing.assert_allclose(points["X"], [[8.0, 1.0 / 8.0], [1.0, 2.0]])
    assert [one.get_text() for one in axes.get_yticklabels()] == data["claim"].tolist()
    assert {"$10.2", "unknown", "\N{GREATER-THAN OR EQUAL TO} $10", "$5"} <= set(texts(figure))
    assert {"confirmed (1)", "contradicted (2)", "not measurable (1)"} <= set(texts(figure))
    assert not figures.claims([]).axes


DRAWN: dict[str, Callable[[Evaluation, Study], Figure]] = {
    "timeline": lambda made, _: figures.timeline(made.runs[0], made.calendar),
    "replay_panel": lambda made, _: figures.replay_panel(made.runs[0], made.calendar[TRUST]),
    "equity": lambda made, _: figures.equity(made.runs[0]),
    "equities": lambda made, _: figures.equities(made.runs),
    "trade_returns": lambda made, _: figures.trade_returns(made.runs),
    "trade_excursions": lambda made, _: figures.trade_excursions(made.runs),
    "months": lambda made, _: figures.months(made.runs),
    "growth": lambda made, _: figures.growth(
        pd.DataFrame({run.strategy: run.equity for run in made.runs}), label=made.market.provenance.label
    ),
    "abnormal_returns": lambda _, study: figures.abnormal_returns(study, "actor"),
    "influencers": lambda _, study: figures.influencers(study),
    "costs": lambda made, _: figures.costs(made.runs[0]),
    "capacity": lambda made, _: figures.capacity(made.cards, label=made.market.provenance.label),
    "claims": lambda made, _: figures.claims(checks(), label=made.market.provenance.label),
    "a message": lambda made, _: figures.replay_panel(made.runs[0], made.calendar["zec-2025-10-mert"]),
}


# The hostile calendar holds signs that the drawing font lacks; `to_svg` leaves them to the page's fonts.
@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("name", DRAWN)
def test_reconstructed_data_are_labelled_outside_the_axes(evaluation: Evaluation, study: Study, name: str) -> None:
    figure = DRAWN[name](evaluation, study)
    (badge,) = [one for one in figure.texts if one.get_gid() == "label"]
    assert badge.get_text() == "RECONSTRUCTED"
    assert "RECONSTRUCTED" in str(figure.get_label())
    box = badge.get_window_extent()
    for axes in figure.axes:
        assert not axes.get_window_extent().overlaps(box)
    for other in figure.texts:
        assert other is badge or not other.get_window_extent().overlaps(box), other.get_text()
    assert "RECONSTRUCTED" in figures.to_svg(figure)


def test_measured_data_carry_no_label(momentum: Run) -> None:
    measured = replace(momentum.market, provenance=replace(momentum.market.provenance, label=""))
    figure = figures.equity(altered(momentum, market=measured))
    assert not [one for one in figure.texts if one.get_gid() == "label"]
    assert "RECONSTRUCTED" not in figures.to_svg(figure)


def drawn_texts(figure: Figure) -> list[Text]:
    """Every text that is drawn; ticks beyond the limits of their axis are not."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in (one for one in figure.axes if one.axison):
        found += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            found += [tick.label1 for tick in axis._update_ticks() if tick.label1.get_visible()]
    return [one for one in found if one.get_text()]


def cut_texts(figure: Figure) -> list[str]:
    """Texts that the edge of the figure cuts."""
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(one.get_text(), one.get_window_extent()) for one in drawn_texts(figure)]
    return [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("name", DRAWN)
def test_no_text_is_cut_by_the_edge(evaluation: Evaluation, study: Study, name: str) -> None:
    figure = DRAWN[name](evaluation, study)
    figure.draw_without_rendering()
    assert not cut_texts(figure)


def test_one_bar_and_one_trade_on_it(momentum: Run) -> None:
    """A market of two bars and a trade over the first: nothing divides by the length of the data."""
    opens = momentum.market.open_ms
    two = momentum.market.between(TimeRange(int(opens[1000]), int(opens[1002])))
    free = RunConfig(impact=0.0, participation=float("inf"))
    intent = Intent(instrument=ZEC, decided_at_ms=two.start_ms, side=1, weight=1.0, hold_ms=3_600_000)
    run = replay(two, Intents((intent,)), free, strategy="one")
    assert len(run.trades) == 1
    for figure in (figures.equity(run), figures.costs(run), figures.timeline(run, Calendar("none", ()))):
        assert style.to_svg(figure).startswith("<svg")
