"""Trials of grids and draws, the whole matrix kept, and an interrupted search that ends in the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.base.errors import ConfigError, DataError, UsageError
from backtest.base.units import from_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine.layout import NET_RETURN
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay
from backtest.report.search_folder import write_sweep
from backtest.scoring.metrics import bar_returns
from backtest.scoring.placebo import PlaceboPlan, placebo_intents
from backtest.scoring.space import Axis, Trial, axis_of, grid_trials, parse_axis, random_trials
from backtest.scoring.sweep import Sweep, heat_maps, run_sweep, sweep_part
from backtest.signals.loading import load_strategy, starting_point
from backtest.strategies import REGISTRY
from tests.scoring.chance import CONFIG, HOUR, quiet_market, random_rows

MOMENTUM = REGISTRY["catalyst_momentum"]


def calendar_at(start_ms: int, rows: list[int]) -> Calendar:
    return Calendar(
        "drawn",
        tuple(
            Catalyst(
                id=f"one-{row}", assets=("ZEC",), kind="listing", actor="OKX", direction=1, precision="hour",
                source="test", confidence="high", announced_at=from_ms(start_ms + row * HOUR),
            )
            for row in rows
        ),
    )  # fmt: skip


def small_sweep(seed: int = 1, **changes: object) -> Sweep:
    random = np.random.default_rng(seed)
    market = quiet_market(random)
    axes = [parse_axis("hold", "2h..12h/2h"), parse_axis("stop_loss", "0.01,0.02,0.05")]
    work = Sweep(
        MOMENTUM,
        grid_trials(axes),
        market,
        calendar_at(market.start_ms, random_rows(random, 6, 140)),
        CONFIG,
        PlaceboPlan(),
    )
    return replace(work, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("24h,48h,72h", ("24h", "48h", "72h")),
        ("24h..72h/24h", ("24h", "48h", "72h")),
        ("1d..2d/12h", ("24h", "36h", "48h")),
        ("0.05..0.30/0.05", ("0.05", "0.10", "0.15", "0.20", "0.25", "0.30")),
        ("1..5/2", ("1", "3", "5")),
        ("listing, upgrade,listing", ("listing", "upgrade")),
        ("0.1", ("0.1",)),
    ],
)
def test_axes_are_read(text: str, choices: tuple[str, ...]) -> None:
    assert parse_axis("x", text) == Axis("x", choices)


def test_axes_of_a_file() -> None:
    assert axis_of("hold", ["24h", "48h"]) == Axis("hold", ("24h", "48h"))
    assert axis_of("assets", [["ZEC"], ["ZEC", "DASH"]]) == Axis("assets", ("ZEC", "ZEC,DASH"))
    assert axis_of("weight", 0.25) == Axis("weight", ("0.25",))
    assert axis_of("weight", "0.1..0.5") == Axis("weight", between=("0.1", "0.5"))
    with pytest.raises(ConfigError, match=r"parameters.hold = \{\} must be text, a number or an array"):
        axis_of("hold", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "parameter x has no value"),
        ("3..1/1", "'3..1/1' ends before it starts"),
        ("1..3/0", "has a step of 0: it must be above 0"),
        ("a..b", "'a..b' is not a range of numbers or durations"),
        ("0..1000/0.00001", "at most 1000000 are allowed"),
    ],
)
def test_axes_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_axis("x", text)


def test_a_grid_is_every_combination() -> None:
    trials = grid_trials([Axis("a", ("1", "2")), Axis("b", ("x", "y", "z"))])
    assert [dict(trial.parameters)["a"] + dict(trial.parameters)["b"] for trial in trials] == [
        "1x", "1y", "1z", "2x", "2y", "2z",
    ]  # fmt: skip
    assert [trial.number for trial in trials] == list(range(6))
    thousand = tuple(map(str, range(1001)))
    with pytest.raises(UsageError, match="the grid has 1002001 trials, at most 1000000 are allowed: search at random"):
        grid_trials([Axis("a", thousand), Axis("b", thousand)])
    with pytest.raises(UsageError, match=r"parameter a = '1\.\.2' has no step"):
        grid_trials([parse_axis("a", "1..2")])


def test_a_random_search_repeats_itself_by_seed_and_never_a_trial() -> None:
    axes = [parse_axis("hold", "24h..3d"), parse_axis("stop_loss", "0.05..0.3"), parse_axis("kinds", "listing,upgrade")]
    trials = random_trials(axes, 200, 1)
    assert len({trial.parameters for trial in trials}) == 200
    assert trials == random_trials(axes, 200, 1)
    assert trials != random_trials(axes, 200, 2)
    holds = [int(dict(trial.parameters)["hold"].removesuffix("h")) for trial in trials]
    stops = [float(dict(trial.parameters)["stop_loss"]) for trial in trials]
    assert min(holds) >= 24
    assert max(holds) <= 72
    assert len(set(holds)) > 40
    assert 0.05 <= min(stops) < 0.07
    assert 0.28 < max(stops) <= 0.3
    assert len(random_trials([Axis("a", ("1", "2", "3"))], 50, 1)) == 3


def test_every_trial_is_what_a_run_with_its_parameters_gives(tmp_path: Path) -> None:
    work = small_sweep()
    result = run_sweep(work, tmp_path)
    assert result.statistics.shape == (18, 8)
    assert result.returns.shape == (150, 18)
    prepared = prepare(work.market, CONFIG)
    decided = [MOMENTUM(dict(trial.parameters)).decide(work.market, work.calendar) for trial in work.trials]
    for number in (0, 7, 17):
        run = replay(work.market, decided[number], CONFIG)
        assert result.statistics[number, NET_RETURN] == pytest.approx(
            run.equity.iloc[-1] / CONFIG.capital - 1, abs=1e-12
        )
        by_hand = bar_returns(run.equity.to_numpy(), CONFIG.capital)
        np.testing.assert_allclose(result.returns[:, number], by_hand, atol=1e-7)
    alone = placebo_intents(decided, prepared, work.calendar, PlaceboPlan())
    for one, other in zip(result.placebos, alone, strict=True):
        assert one is not None
        assert (one.p, one.adjusted, one.n, one.exact, one.quantiles) == (
            other.p, other.adjusted, other.n, other.exact, other.quantiles
        )  # fmt: skip
    assert result.best == int(np.argmax(result.statistics[:, NET_RETURN]))
    assert result.deflated is not None
    assert result.deflated.selected == result.best
    assert result.overfitting is not None
    assert 0.0 <= result.overfitting.probability <= 1.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_interrupted_search_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    work = small_sweep()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_sweep(whole, run_sweep(work, whole))

    def interrupt(what: str, done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(work, broken, progress=interrupt)
    kept = (broken / "parts" / "000001.npz").stat().st_mtime_ns
    assert not (broken / "parts" / "000002.npz").exists()
    seen: list[int] = []
    write_sweep(broken, run_sweep(work, broken, progress=lambda what, done, total: seen.append(done)))
    assert seen == [2, 3]
    assert (broken / "parts" / "000001.npz").stat().st_mtime_ns == kept
    assert contents(broken) == contents(whole)
    assert set(contents(whole)) >= {"trials.csv", "sweep.json", "returns.npy", "parts/000002.npz"}


def test_a_folder_of_another_search_is_refused(tmp_path: Path) -> None:
    run_sweep(small_sweep(), tmp_path)
    for other in (small_sweep(2), small_sweep(plan=PlaceboPlan(seed=2)), small_sweep(config=RunConfig())):
        with pytest.raises(UsageError, match="holds another sweep"):
            run_sweep(other, tmp_path)


def test_a_strategy_that_was_edited_is_another_search(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(starting_point("mine"))
    work = small_sweep(strategy=load_strategy(str(file)), trials=(Trial(0, (("hold", "3h"),)),))
    before = work.fingerprint()
    assert work.fingerprint() == before
    file.write_text(starting_point("mine").replace("known_at, 1,", "known_at, -1,"))
    assert replace(work, strategy=load_strategy(str(file))).fingerprint() != before


def test_a_parameter_the_strategy_lacks_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'hodl'; did you mean 'hold'"):
        run_sweep(small_sweep(trials=(Trial(0, (("hodl", "3h"),)),)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_unknown_funding_is_said_where_it_is_an_error(tmp_path: Path) -> None:
    work = small_sweep()
    market = replace(work.market, funding=np.full(work.market.close.shape, np.nan))
    asked = replace(work, market=market, config=CONFIG.model_copy(update={"funding_unknown": "error"}))
    with pytest.raises(DataError, match="trial 0 of catalyst_momentum holds a position while funding is unknown"):
        run_sweep(asked, tmp_path)


def test_other_kinds_of_placebo_and_none(tmp_path: Path) -> None:
    work = small_sweep(trials=small_sweep().trials[:3])
    none = run_sweep(replace(work, plan=None), tmp_path / "none")
    assert none.placebos == (None, None, None)
    anew = run_sweep(replace(work, plan=PlaceboPlan("calendar", 40)), tmp_path / "calendar")
    assert {one.n for one in anew.placebos if one} == {40}
    assert all(one is not None and 0 < one.p <= one.adjusted for one in anew.placebos)


def test_heat_maps_hold_the_mean_of_their_trials(tmp_path: Path) -> None:
    result = run_sweep(small_sweep(), tmp_path)
    (only,) = heat_maps(result)
    assert (only.row_name, only.column_name) == ("hold", "stop_loss")
    assert only.mean.shape == (6, 3)
    np.testing.assert_array_equal(only.mean.ravel(), result.statistics[:, NET_RETURN])
    assert only.adjusted[0, 0] == result.placebos[0].adjusted  # type: ignore[union-attr]


def test_a_part_is_a_pure_function_of_its_number() -> None:
    assert sweep_part(small_sweep(), 1) == sweep_part(small_sweep(), 1)
    assert sweep_part(small_sweep(), 1) != sweep_part(small_sweep(), 0)
