"""What a search found, drawn: its map, its logits, and the folder that both are read from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure

from backtest.base.config import load_config
from backtest.base.errors import DataError
from backtest.catalysts.reading import open_calendar
from backtest.market.dataset import default_dataset, open_dataset
from backtest.report import figures
from backtest.report.search_folder import read_search, write_sweep
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.space import axes_of, grid_trials
from backtest.scoring.sweep import HeatMap, Sweep, SweepResult, heat_maps, run_sweep
from backtest.strategies import REGISTRY

NAN = float("nan")
HEAT = HeatMap(
    "hold",
    "stop_loss",
    ("1d", "2d", "3d"),
    ("0.05", "0.1"),
    np.array([[NAN, -0.1], [0.2, 0.3], [0.4, 0.5]]),
    np.array([[NAN, 0.9], [0.6, 0.05], [0.01, 0.02]]),
)


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_a_heat_map_outlines_the_significant_region() -> None:
    """Significant are (2d, 0.1), (3d, 0.05) and (3d, 0.1): an L of three cells has a border of eight edges."""
    data = figures.heat_map_data(HEAT, "net_return")
    assert data["row"].tolist() == ["1d", "1d", "2d", "2d", "3d", "3d"]
    assert data["column"].tolist() == ["0.05", "0.1"] * 3
    assert data["significant"].tolist() == [False, False, False, True, True, True]
    figure = figures.heat_map(HEAT, "net_return", label="RECONSTRUCTED")
    axes, scale = figure.axes
    (mesh,) = [one for one in axes.collections if isinstance(one, QuadMesh)]
    np.testing.assert_array_equal(mesh.get_array().filled(NAN), HEAT.mean)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-0.1, 0.5)
    outlines = [one.get_segments() for one in axes.collections if isinstance(one, LineCollection)]
    assert [len(one) for one in outlines] == [8, 8]
    edges = {frozenset(map(tuple, segment)) for segment in outlines[0]}
    assert frozenset({(0.5, 0.5), (1.5, 0.5)}) in edges
    assert frozenset({(0.5, 1.5), (1.5, 1.5)}) not in edges
    assert [one.get_text() for one in axes.get_yticklabels()] == ["1d", "2d", "3d"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("stop_loss", "hold")
    assert [one.get_text() for one in axes.texts] == [
        "none",
        "\N{MINUS SIGN}10.0%",
        "+20.0%",
        "+30.0%",
        "+40.0%",
        "+50.0%",
    ]
    assert scale.get_ylim() == (-0.1, 0.5)
    assert "RECONSTRUCTED" in texts(figure)


def test_a_heat_map_without_significance_tests_or_values() -> None:
    calm = replace(HEAT, adjusted=np.full((3, 2), 0.5))
    assert "No cell has an adjusted p at or below 0.05." in " ".join(texts(figures.heat_map(calm, "sharpe")))
    untested = replace(HEAT, adjusted=np.full((3, 2), NAN))
    assert "No trial was tested" in " ".join(texts(figures.heat_map(untested, "sharpe")))
    assert not figures.heat_map(replace(HEAT, mean=np.full((3, 2), NAN)), "sharpe").axes
    assert len(figures.heat_map(replace(HEAT, mean=np.ones((3, 2))), "sharpe").axes) == 1


def test_many_values_are_not_written_into_their_cells() -> None:
    count = 50
    wide = HeatMap(
        "a",
        "b",
        tuple(map(str, range(count))),
        tuple(map(str, range(count))),
        np.random.default_rng(1).random((count, count)),
        np.ones((count, count)),
    )
    axes = figures.heat_map(wide, "sharpe").axes[0]
    assert not axes.texts
    assert len(axes.get_yticklabels()) <= 25
    assert [one.get_text() for one in axes.get_yticklabels()][:2] == ["0", "3"]


def test_a_logit_of_zero_counts_as_overfit() -> None:
    logits = np.array([-1.0, 0.0, 0.0, 1.0, 2.0, NAN])
    data = figures.overfitting_data(logits, 0.6)
    assert data["splits"].sum() == 5
    assert data.loc[data["overfit"], "splits"].sum() == 3
    assert (data["low"].iloc[0], data["high"].iloc[-1]) == (-2.0, 2.0)
    figure = figures.overfitting(logits, 0.6, label="RECONSTRUCTED")
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 5
    assert sum(bar.get_height() for bar in axes.patches if bar.get_hatch()) == 3
    assert all(bar.get_x() + bar.get_width() <= 1e-12 for bar in axes.patches if bar.get_hatch())
    assert [line.get_xdata() for line in axes.lines] == [[0.0, 0.0]]
    told = texts(figure)
    assert {"at or below zero: 60.0%", "above zero: 40.0%", "RECONSTRUCTED"} <= set(told)
    assert any("PBO 60.0%: in 3 of 5 splits" in text for text in told)


def test_infinite_logits_stand_at_the_ends_and_none_is_said() -> None:
    data = figures.overfitting_data(np.array([-np.inf, -np.inf, 1.0, np.inf]), 0.5)
    assert (data["splits"].iloc[0], data["splits"].iloc[-1]) == (2, 2)
    figure = figures.overfitting(np.array([NAN]), NAN)
    assert not figure.axes
    assert any("No split of the bars gave a logit" in text for text in texts(figure))


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepResult]:
    folder = tmp_path_factory.mktemp("search")
    market, calendar = open_dataset(default_dataset()), open_calendar("privacy-2025")
    trials = grid_trials(axes_of({"hold": "24h,48h", "stop_loss": "0.05,0.2"}))
    strategy = type(REGISTRY["catalyst_momentum"]())
    sweep = Sweep(strategy, trials, market, calendar, load_config(), PlaceboPlan("shift", 40))
    result = run_sweep(sweep, folder)
    write_sweep(folder, result)
    return folder, result


def test_a_sweep_is_read_as_it_was_written(searched: tuple[Path, SweepResult]) -> None:
    folder, result = searched
    found = read_search(folder)
    assert (found.document["strategy"], found.document["statistic"]) == ("catalyst_momentum", "net_return")
    assert found.document["dataset"]["label"] == "RECONSTRUCTED"
    assert found.trials["trial"].tolist() == [0, 1, 2, 3]
    (heat,), (written,) = found.heat_maps, heat_maps(result)
    assert (heat.row_name, heat.column_name, heat.rows, heat.columns) == (
        "hold",
        "stop_loss",
        written.rows,
        written.columns,
    )
    np.testing.assert_array_equal(heat.mean, written.mean)
    np.testing.assert_array_equal(heat.adjusted, written.adjusted)
    assert result.overfitting is not None
    np.testing.assert_array_equal(
        found.logits, np.sort(result.overfitting.logits[~np.isnan(result.overfitting.logits)])
    )
    assert len(found.logits) + result.overfitting.undefined == 12_870
    assert found.probability == result.overfitting.probability == pytest.approx(np.mean(found.logits <= 0))


def test_a_search_that_was_not_judged_has_no_logits(searched: tuple[Path, SweepResult], tmp_path: Path) -> None:
    folder, _ = searched
    document = json.loads((folder / "sweep.json").read_text())
    document |= {"overfitting": None, "deflated_sharpe": None, "best": None}
    (tmp_path / "sweep.json").write_text(json.dumps(document))
    (tmp_path / "trials.csv").write_bytes((folder / "trials.csv").read_bytes())
    found = read_search(tmp_path)
    assert found.logits.shape == (0,)
    assert np.isnan(found.probability)


def broken(document: dict[str, Any], *path: str | int, value: Any) -> str:
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("schema",), "backtest.run/1", "is of schema 'backtest.run/1', not 'backtest.sweep/2'"),
        (("overfitting",), {}, "overfitting has no 'probability'"),
        (("overfitting", "logits", "values"), ["a"], "overfitting.logits.values[0] is 'a', not of type number"),
        (("overfitting", "logits", "splits"), [-1], "splits reach -1, not between 0 and"),
        (("overfitting", "logits", "splits"), [1], "logits and counts of 1"),
        (("heat_maps", 0, "rows"), ["24h"], "a heat map of 1 by 2 values holds"),
        (("dataset",), None, "dataset is None, not of type object"),
    ],
)
def test_a_broken_or_foreign_folder_is_refused(
    searched: tuple[Path, SweepResult], tmp_path: Path, path: tuple[str | int, ...], value: Any, sentence: str
) -> None:
    document = json.loads((searched[0] / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(broken(document, *path, value=value))
    (tmp_path / "trials.csv").write_bytes((searched[0] / "trials.csv").read_bytes())
    with pytest.raises(DataError) as caught:
        read_search(tmp_path)
    assert sentence in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_sweep_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"sweep\.json does not exist: check the path"):
        read_search(tmp_path)
    (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as JSON|nests deeper|not an object|is not UTF-8"):
        read_search(tmp_path)
