"""SVG that a page can hold: the same each time, themed, with ids of its own, inert; and the look that figures share."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import backtest.report.figures as package
from backtest.catalysts.claims import Check, Claim
from backtest.report.figures import style
from backtest.report.figures.palette import DARK, LIGHT, css_variables
from backtest.report.figures.settings import SETTINGS, own_style
from backtest.report.figures.wording import clean, columns, moment, number, percent, words

HOSTILE = (
    "<script>alert(1)</script> & \"quoted\" 'too' $\\frac{1}{0}$ $closed$ ]]> <!-- -- --> \x00\x07\ud800\ufffe "
    "\u202egnp.exe\u202c\u2066\u200b 币安 \N{PILE OF POO}"
)


def figure_of(text: str, colour: str = LIGHT["blue"]) -> Figure:
    made = style.sheet(text, text, [1.0], label=text, key=[Line2D([], [], color=colour, label=clean(text, 60))])
    (axes,) = made.axes
    axes.plot([0.0, 1.0], [0.0, 1.0], color=colour)
    axes.axvspan(0.2, 0.4, facecolor="none", edgecolor=LIGHT["orange"], hatch="////")
    axes.set_xlim(0.0, 0.8)
    axes.set_title(clean(text, 40))
    axes.set_yticks([0.5], [clean(text, 12)])
    return made.figure


@style.in_own_style
def drawn(text: str = "title", colour: str = LIGHT["blue"]) -> Figure:
    return figure_of(text, colour)


def ids_and_references(svg: str) -> tuple[list[str], set[str]]:
    return re.findall(r'\bid="([^"]+)"', svg), set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))


def test_the_same_figure_is_the_same_text_whatever_the_reader_has_set() -> None:
    one = package.to_svg(drawn())
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": False, "lines.linewidth": 9.0}):
        other = package.to_svg(drawn())
    assert one == other
    assert one == package.to_svg(drawn())
    figure = drawn()
    assert package.to_svg(figure) == package.to_svg(figure)
    assert dict(matplotlib.rcParams) == before


def test_settings_are_set_once_and_put_back() -> None:
    before = matplotlib.rcParams["font.size"]
    with own_style():
        with own_style():
            assert matplotlib.rcParams["font.size"] == SETTINGS["font.size"] != before
        assert matplotlib.rcParams["font.size"] == SETTINGS["font.size"]
    assert matplotlib.rcParams["font.size"] == before
    with pytest.raises(RuntimeError, match="broken"), own_style():
        raise RuntimeError("broken")
    assert matplotlib.rcParams["font.size"] == before
    with own_style():
        assert matplotlib.rcParams["font.size"] == SETTINGS["font.size"]


def test_an_element_for_a_page() -> None:
    svg = package.to_svg(drawn("Net & gross"))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    assert root.get("width") == "100%"
    assert re.fullmatch(r"0 0 576 [\d.]+", root.get("viewBox", ""))
    title = root[0]
    assert title.text == "Net & gross (Net & gross)"
    assert root.get("aria-labelledby") == title.get("id")
    assert not svg.startswith("<?xml")
    for absent in ("<metadata", "<!DOCTYPE", "<!--", "2026", "Matplotlib", "<image", "http://www.w3.org/1999/xlink"):
        assert absent not in svg
    assert "<text" in svg


def test_figures_of_one_page_share_no_id_and_every_reference_is_met() -> None:
    (own, referred), (other, _) = (ids_and_references(package.to_svg(drawn(name))) for name in ("one", "other"))
    assert len(own) == len(set(own)) >= 3
    assert referred <= set(own)
    assert referred
    assert not set(own) & set(other)


def test_colours_are_variables_with_the_light_ones_as_fallback() -> None:
    svg = package.to_svg(drawn())
    for name in ("ink", "paper", "grid", "muted", "blue", "orange", "alarm"):
        assert f"var(--{name}, {LIGHT[name]})" in svg
    assert not re.search(r"(?<!, )(?<!url\()#[0-9a-f]{6}\b", svg)
    assert package.to_svg(drawn(colour="#123456")).count("#123456") == 2
    assert set(DARK) == set(LIGHT)
    assert css_variables({"ink": "#000000", "paper": "#ffffff"}) == "--ink: #000000; --paper: #ffffff;"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_ink_and_series_stand_out_from_the_paper(theme: dict[str, str]) -> None:
    """Contrast as WCAG 2.2 defines it: 4.5 for text, 3 for graphics; areas of orange and sky carry a second sign."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(theme[one]), luminance(theme[other])))
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "muted"):
        assert contrast(name, "paper") >= 4.5
    assert contrast("on-alarm", "alarm") >= 4.5
    for name in ("blue", "red", "purple", "green"):
        assert contrast(name, "paper") >= 3.0


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    figure = drawn(HOSTILE + "x" * 10_000)
    svg = package.to_svg(figure)
    root = ElementTree.fromstring(svg)
    assert not [one for one in root.iter() if one.tag.rpartition("}")[2] in ("script", "foreignObject", "a", "image")]
    assert not re.search(r'\son\w+="', svg)
    shown = " ".join(root.itertext())
    assert "<script>alert(1)</script> & \"quoted\" 'too' $\\frac{1}{0}$" in shown
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08]", svg)
    assert "x" * 400 not in svg
    # Outside the figures' own settings too, mathtext is not parsed: it would raise on this text.
    with pytest.warns(UserWarning, match="missing from font"):
        figure.savefig(tmp_path / "figure.png")


@settings(max_examples=40)
@given(st.text(max_size=300), st.integers(4, 60))
def test_clean_text_fits_one_line_and_stays_itself_when_cleaned_again(text: str, most: int) -> None:
    shown = clean(text, most)
    assert columns(shown) <= most
    assert shown == clean(shown, most)
    assert shown.isprintable()


def test_text_is_cut_by_its_width() -> None:
    assert clean("a" * 20, 20) == "a" * 20
    assert clean("a" * 21, 20) == "a" * 19 + "\N{HORIZONTAL ELLIPSIS}"
    assert columns(clean("W" * 40, 20)) <= 20
    assert clean(" a \n\t b\u202e ", 20) == "a b"
    assert clean(None, 20) == "None"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (-0.0, "0"), (0.00012, "0.00012"), (1e-7, "1.00e−07"), (1.256, "1.26"), (-532.06, "−532"),
     (1234.5, "1,234"), (9999.0, "9,999"), (12_345, "12.3k"), (999_600, "1M"), (4.5e6, "4.5M"), (-17.5e9, "−17.5B"),
     (float("nan"), "")],
)  # fmt: skip
def test_numbers_are_short(value: float, told: str) -> None:
    assert number(value) == told


def test_shares_moments_and_words() -> None:
    assert [percent(value) for value in (0.123, -0.5, 0.0, -0.0001, 12.878)] == [
        "+12.3%",
        "−50.0%",
        "0.0%",
        "0.0%",
        "+1,287.8%",
    ]
    assert percent(0.5, 0, sign=False) == "50%"
    assert percent(float("nan")) == ""
    assert moment(1_762_488_000_000) == "7 Nov 04:00"
    assert words("stop_loss") == "stop loss"
    assert words("oi_record") == "OI record"


@given(arrays.arrays(np.float64, st.integers(1, 900), elements=st.floats(-9, 9) | st.just(np.nan)), st.integers(5, 60))
def test_thinning_keeps_the_extremes_of_every_column_of_pixels(values: np.ndarray, most: int) -> None:
    places = style.kept(values, most)
    assert (np.diff(places) > 0).all()
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert len(places) <= max(3 * most + 2, 1)
    if len(values) <= 3 * most:
        assert len(places) == len(values)
        return
    size = -(-len(values) // most)
    for first in range(0, len(values), size):
        part, thin = values[first : first + size], values[places[(places >= first) & (places < first + size)]]
        assert np.isnan(part).any() == np.isnan(thin).any()
        known = part[~np.isnan(part)]
        if len(known):
            assert (np.nanmin(thin), np.nanmax(thin)) == (known.min(), known.max())


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2025-08-15", "2025-12-01", "18 Aug/2025, 1 Sep, 15 Sep, 29 Sep, 13 Oct, 27 Oct, 10 Nov, 24 Nov"),
        (
            "2025-12-31T18:00",
            "2026-01-01T12:00",
            "18:00/31 Dec 2025, 20:00, 22:00, 00:00/1 Jan 2026, 02:00, 04:00, 06:00, 08:00, 10:00, 12:00",
        ),
        ("2024-01-10", "2026-03-05", "1 Apr/2024, 1 Jul, 1 Oct, 1 Jan/2025, 1 Apr, 1 Jul, 1 Oct, 1 Jan/2026"),
    ],
    ids=["weeks", "hours", "quarters"],
)
def test_time_ticks_are_round_in_utc(first: str, last: str, labels: str) -> None:
    axes = style.sheet("t", "", [1.0]).axes[0]
    start, end = (np.datetime64(one, "ms").astype(np.int64) / 86_400_000 for one in (first, last))
    style.time_axis(axes, float(start), float(end))
    assert ", ".join(one.get_text().replace("\n", "/") for one in axes.get_xticklabels()) == labels
    assert [one.get_text() for one in axes.texts] == ["UTC"]


def test_an_axis_over_values_that_never_change() -> None:
    assert style.padded(np.array([5.0, 5.0])) == (4.75, 5.25)
    assert style.padded(np.array([np.nan])) == (0.0, 1.0)
    assert not style.spans_much(np.array([1.0, 2.9]))
    assert style.spans_much(np.array([1.0, np.nan, 3.1]))
    assert not style.spans_much(np.array([0.0, 3.1]))


def test_every_figure_has_its_numbers_and_nothing_needs_pyplot() -> None:
    names = [name for name in package.__all__ if name != "to_svg" and not name.endswith("_data")]
    assert len(names) == 15
    # Trades have one table for two figures, and equity curves come as the table they are.
    shared = {"trade_returns": "trades", "trade_excursions": "trades", "growth": "growth"}
    assert {shared.get(name, f"{name}_data") for name in names} - {"trades", "growth"} < set(package.__all__)
    assert "trades_data" in package.__all__
    for path in Path(package.__file__).parent.glob("*.py"):
        assert "pyplot" not in path.read_text().replace("without pyplot", "")


def test_a_claim_of_hostile_words_is_drawn() -> None:
    claim = Claim(
        id="one-claim", says=HOSTILE[:100].replace("\ud800", ""), subject="X", claimed=1.0, unit="USD", measure=""
    )
    assert "<script>" not in package.to_svg(package.claims([Check(claim, "confirmed", 1.0, "", "")]))
