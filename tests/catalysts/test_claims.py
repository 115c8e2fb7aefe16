"""Claims: every printed figure, verdicts by hand arithmetic on real bars, expressions that execute nothing else."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from backtest.base.errors import DataError, UsageError
from backtest.catalysts.claims import Check, Claim, check_claim, open_claims, read_claims, verdict_of
from backtest.catalysts.expressions import measure
from backtest.market.auxiliary import read_series
from backtest.market.joining import open_datasets
from backtest.market.record import Market

CLAIM = Claim(
    id="one",
    says="Something.",
    subject="ZEC",
    claimed=2.0,
    unit="times",
    tolerance=0.05,
    measure="days('2025-10-01', '2025-10-03')",
)


@pytest.fixture(scope="module")
def real(shared: Path) -> Market:
    folder = shared / "market"
    return open_datasets(f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}")


@pytest.fixture(scope="module")
def claims() -> dict[str, Claim]:
    return {one.id: one for one in open_claims("privacy-2025")}


@pytest.fixture(scope="module")
def checks(real: Market, claims: dict[str, Claim]) -> dict[str, Check]:
    return {name: check_claim(one, real) for name, one in claims.items()}


# Closes, opens (the 00:00 UTC snapshot) and highs as the files print them, and volume times close summed from them.
HAND = [
    ("zec-10-23-price", 238.37, "confirmed"),
    ("zec-11-07-price", 534.90, "confirmed"),
    ("zec-11-07-through-532", 775.0, "confirmed"),
    ("zec-rise-120-percent", 534.90 / 238.37 - 1, "confirmed"),
    ("zec-10-01-22-percent", 120.80 / 74.14 - 1, "contradicted"),
    ("zec-10-24-40-percent", 341.54 / 243.09 - 1, "confirmed"),
    ("zec-11-01-15-percent", 449.22 / 403.61 - 1, "overstated"),
    ("dash-100-percent", 113.22 / 43.93 - 1, "confirmed"),
    ("zen-100-percent", 19.996 / 14.550 - 1, "contradicted"),
    ("zk-130-percent", 0.06952 / 0.02922 - 1, "confirmed"),
    ("zk-volume-30x", 467953890.83381 / 7739547.2334, "contradicted"),
    ("zec-diluted-value", 420e6 * 403.58, "inconsistent"),
]


@pytest.mark.parametrize(("name", "value", "verdict"), HAND, ids=[row[0] for row in HAND])
def test_real_bars_by_hand(checks: dict[str, Check], name: str, value: float, verdict: str) -> None:
    check = checks[name]
    assert check.measured == pytest.approx(value, rel=1e-9)
    assert check.verdict == verdict
    assert check.window.startswith("2025-")


def money_of_day(path: Path, day: str) -> float:
    """Volume times close of a day's rows of an exchange's file, read without this project."""
    start = int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp()) * 1000
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if 0 <= int(row["timestamp"]) - start < 86_400_000]
    assert len(rows) == 24
    return sum(float(row["volume"]) * float(row["close"]) for row in rows)


def test_volumes_are_those_of_the_files(checks: dict[str, Check], shared: Path) -> None:
    spot = shared / "market" / "binance-spot-2025q4"
    swap = shared / "market" / "binance-usdm-2025q4"
    month = [f"2025-10-{day:02d}" for day in range(8, 32)] + [f"2025-11-{day:02d}" for day in range(1, 7)]
    mean = sum(money_of_day(spot / "ZECUSDT-1h.csv", day) for day in month) / 30
    record = money_of_day(spot / "ZECUSDT-1h.csv", "2025-11-07")
    assert checks["zec-spot-volume"].measured == pytest.approx(record)
    assert checks["zec-spot-volume-ratio"].measured == pytest.approx(record / mean)
    dash = {
        day: money_of_day(spot / "DASHUSDT-1h.csv", day) + money_of_day(swap / "DASHUSDT-1h.csv", day)
        for day in [f"2025-11-{day:02d}" for day in range(2, 9)]
    }
    assert checks["dash-volume"].measured == pytest.approx(max(dash.values()))
    assert checks["dash-volume-ratio"].measured == pytest.approx(dash["2025-11-06"] / dash["2025-11-05"])


def test_every_market_figure_of_the_four_coins_has_a_verdict(checks: dict[str, Check]) -> None:
    market = [
        one for one in checks.values()
        if one.claim.subject in ("ZEC", "DASH", "ZK", "ZEN") and "series(" not in one.claim.measure
    ]  # fmt: skip
    assert len(market) == 30
    for one in market:
        assert one.measured is not None or one.reason, one.claim.id
        assert (one.window != "") == (one.measured is not None), one.claim.id
    unmeasured = {one.claim.id for one in market if one.measured is None}
    assert unmeasured == {
        "zec-20x", "zec-20x-within-3-months", "zec-from-30", "zec-year-to-date", "zec-high-since-2018",
        "zec-oi-770-million", "zec-oi-770-million-first", "zec-beats-rail",
    }  # fmt: skip
    assert checks["zec-spot-volume-ratio"].verdict == "contradicted"
    assert checks["dash-volume"].verdict == "confirmed"
    assert checks["zec-daily-billions"].verdict == "not measurable"
    assert "is one venue" in checks["zec-daily-billions"].reason


def test_contradictions_inside_the_article_are_found_without_data(checks: dict[str, Check]) -> None:
    inconsistent = {name for name, one in checks.items() if one.verdict == "inconsistent"}
    assert inconsistent == {
        "zec-rise-40-days",  # 15 days by its own dates
        "zec-spot-volume",  # $17.5 billion in a day of a coin worth $8.9 billion
        "zec-spot-volume-average",
        "zec-diluted-value",  # 20 * 21 million * $532.06 is $223 billion
        "zec-pool-rise",  # 4.9 / 4 - 1 is 22.5 %
        "zec-pool-value",  # 5 million * $532.06 is $2.66 billion
        "zcsh-share",  # $136 million of $8.9 billion is 1.5 %
    }
    assert checks["zec-rise-40-days"].measured == 15.0
    assert "15: days(" in checks["zec-rise-40-days"].reason
    assert "at most 8.868e+09" in checks["zec-spot-volume"].reason


def test_the_sample_confirms_no_more_of_the_article_than_real_bars(
    sample: Market, checks: dict[str, Check], claims: dict[str, Claim]
) -> None:
    """Its days are facts, so what is read from days has the same verdict; it is no path through the article."""
    found = {name: check_claim(one, sample) for name, one in claims.items()}
    assert {"confirmed", "contradicted", "overstated"} <= {one.verdict for one in found.values()}
    compared = [name for name, _, _ in HAND if found[name].measured is not None]
    assert len(compared) > 8
    for name in compared:
        assert found[name].verdict == checks[name].verdict, name
    for name in ("zec-rise-120-percent", "dash-100-percent", "zk-130-percent", "zec-10-01-22-percent"):
        assert found[name].measured == pytest.approx(checks[name].measured, rel=1e-3)


def test_what_was_made_to_fit_a_figure_cannot_confirm_it(sample: Market, claims: dict[str, Claim]) -> None:
    for name in ("dcr-100-percent", "rail-stagnates", "rail-diluted-value", "zec-oi-770-million", "sector-80-percent"):
        check = check_claim(claims[name], sample, all_venues=True)
        assert check.verdict == "not measurable", name
        assert check.measured is not None
        assert "reconstructed in privacy-2025-sample: no evidence either way" in check.reason
    # The same bars without their origins would say that RAIL stood still.
    bare = replace(sample, provenance=replace(sample.provenance, origins=()))
    assert check_claim(claims["rail-stagnates"], bare).verdict == "confirmed"


def test_a_record_has_its_claim_of_the_first_time(checks: dict[str, Check]) -> None:
    assert checks["zec-532-first-crossed"].measured == 6.0
    assert checks["zec-532-first-crossed"].verdict == "overstated"
    assert checks["zec-spot-volume-record"].verdict == "confirmed"


def test_a_supplied_series_makes_a_figure_measurable(tmp_path: Path, real: Market, claims: dict[str, Claim]) -> None:
    (tmp_path / "pool.csv").write_text(
        "available_at,value\n2025-09-28T12:00Z,4000000\n2025-11-07T12:00Z,4900000\n2025-11-08T00:00:01Z,9e9\n"
    )
    series = {"zec_shielded_pool": read_series(tmp_path / "pool.csv", "zec_shielded_pool")}
    assert check_claim(claims["zec-pool"], real, series).verdict == "confirmed"
    rise = check_claim(claims["zec-pool-rise"], real, series)
    assert rise.measured == pytest.approx(0.225)
    assert rise.window == "2025-09-28 to 2025-11-07"
    early = replace(claims["zec-pool"], measure="series('zec_shielded_pool', '2025-09-27')")
    assert check_claim(early, real, series).verdict == "not measurable"


@pytest.mark.parametrize(
    ("sense", "measured", "verdict"),
    [
        ("about", 2.1, "confirmed"),
        ("about", 1.9, "confirmed"),
        ("about", 1.89, "overstated"),
        ("about", 2.11, "understated"),
        ("about", -2.0, "contradicted"),
        ("about", 1.0, "overstated"),
        ("about", 0.99, "contradicted"),
        ("about", 4.0, "understated"),
        ("about", 4.01, "contradicted"),
        ("at_least", 99.0, "confirmed"),
        ("at_least", 1.89, "overstated"),
        ("at_most", 0.0, "confirmed"),
        ("at_most", 2.11, "understated"),
    ],
)
def test_verdicts(sense: str, measured: float, verdict: str) -> None:
    assert verdict_of(replace(CLAIM, sense=sense), measured) == verdict  # type: ignore[arg-type]


def test_a_fall_is_measured_against_a_fall() -> None:
    fall = replace(CLAIM, claimed=-0.9, unit="share")
    assert verdict_of(fall, -0.88) == "confirmed"
    assert verdict_of(fall, -0.5) == "overstated"
    assert verdict_of(fall, 0.5) == "contradicted"


def test_one_venue_cannot_refute_a_total(sample: Market) -> None:
    total = replace(CLAIM, claimed=1e15, unit="USD", measure="turnover('ZEC', '2025-11-07')", total=True)
    assert check_claim(total, sample).verdict == "not measurable"
    assert check_claim(total, sample, all_venues=True).verdict == "contradicted"
    small = replace(total, claimed=1e3)
    assert check_claim(small, sample).verdict == "contradicted"


def test_measures_by_hand(sample: Market) -> None:
    small = sample.select(("ZEC/USDT:USDT",))
    day = slice(small.bar_at_or_after(1761955200000), small.bar_at_or_after(1761955200000) + 24)  # 2025-11-01
    assert measure("open('ZEC', '2025-11-01')", small, {}).value == small.open[day][0, 0]
    assert measure("turnover('ZEC', '2025-11-01')", small, {}).value == pytest.approx(
        (small.volume[day] * small.close[day]).sum()
    )
    assert measure("mean(high('ZEC', '2025-11-01'), 2 * 3, -1)", small, {}).value == pytest.approx(
        (small.high[day].max() + 5) / 3
    )
    assert measure("funding('ZEC', '2025-11-01')", small, {}).value == pytest.approx(small.funding[day].sum())
    assert measure("days('2025-10-23', '2025-11-07')", None, {}).value == 15


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("__import__('os')", "function '__import__' is unknown"),
        ("close.__class__", "neither a number nor an operation"),
        ("[1, 2]", "neither a number nor an operation"),
        ("2 ** 3", "neither a number nor an operation"),
        ("ZEC", "neither a number nor an operation"),
        ("clos('ZEC', '2025-11-01')", "did you mean 'close'"),
        ("1 +", "is not an expression"),
        ("1 / 0", "cannot be computed"),
        ("'text'", "is 'text', not a finite number"),
        ("close('ZEC')", "cannot be computed"),
        ("close('ZEC', 'Friday')", "'Friday' is not a day"),
        ("close('DOGE', '2025-11-01')", "has no bars of DOGE"),
        ("close('ZEC', '2024-11-01')", "does not cover 2024-11-01 to 2024-11-01"),
        ("high('ZEC', '2025-11-02', '2025-11-01')", "ends before it starts"),
        ("interest('ZEC/USDT', '2025-11-01')", "open interest of ZEC/USDT is unknown in 24 of 24 bars"),
        ("series('pool', '2025-11-01')", "supply one with `series pool=FILE.csv`"),
    ],
)
def test_what_cannot_be_measured_is_said(sample: Market, expression: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        measure(expression, sample, {})


FILE = """
[[claim]]
id = "one"
says = "Something."
subject = "ZEC"
claimed = 2
unit = "times"
measure = "days('2025-10-01', '2025-10-03')"
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (FILE + FILE, "duplicate id 'one'"),
        (FILE.replace("claimed = 2", "claimed = 0"), "claim 'one': claimed = 0: a figure of 0"),
        (FILE.replace("days(", "daze("), "claim 'one': measure = .*function 'daze' is unknown; allowed: abs, close"),
        (FILE.replace("unit =", "units ="), "unknown key 'units'; did you mean 'unit'"),
        ("name = 'empty'\n", "holds no ..claim.. table"),
        ("colour = 1\n" + FILE, "unknown key 'colour'"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_claims(path)


def test_names_of_claims(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(FILE)
    assert [one.id for one in open_claims(str(tmp_path / "mine.toml"))] == ["one"]
    with pytest.raises(UsageError, match="did you mean 'privacy-2025'"):
        open_claims("privacy")
