"""The first screen of `run` at each width, and what its options show."""

from __future__ import annotations

import re

import pytest

from backtest.report.run_screen import brief
from tests.cli.conftest import Command

ASKED = ("run", "--placebo", "0", "--bootstrap", "0", "-s", "catalyst_momentum", "-s", "influencer_fade")
HEADS = {
    "60": "",
    "80": "strategy verdict adj.p net funding trades before waited captured",
    "160": "strategy verdict p adj.p net price costs funding Sharpe Sortino drawdown exposed weight trades hit mean "
    "before waited captured",
}
"""The columns at each width; which a narrow terminal keeps depends on how long its numbers are."""


@pytest.mark.parametrize("width", HEADS)
def test_numbers_are_whole_and_lines_fit_at_each_width(backtest: Command, width: str) -> None:
    done = backtest(*ASKED, COLUMNS=width)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) <= int(width)
    (head,) = [line.split() for line in lines if line.split()[:1] == ["strategy"]]
    assert not HEADS[width] or head == HEADS[width].split()
    assert {"net", "verdict"} <= set(head)
    rows = [line for line in lines if re.match(r" (catalyst_m|influencer)", line)]
    assert len(rows) == 2
    for row in rows:
        assert "\N{HORIZONTAL ELLIPSIS}" not in row[len(row.split()[0]) + 1 :]
        assert re.search(r"[+-]\d+\.\d%", row)


def test_the_sum_of_price_costs_and_funding_is_net(backtest: Command) -> None:
    done = backtest(*ASKED, "--columns", "net,price,costs,funding")
    rows = re.findall(r"^ \S+ +untested +(.*)$", done.stdout, re.MULTILINE)
    assert len(rows) == 2
    for row in rows:
        net, price, costs, funding = (float(text.rstrip("%")) for text in row.split())
        assert net == pytest.approx(price + costs + funding, abs=0.16)
        assert costs < 0


def test_sort_top_quiet_trades_and_all_choose_what_is_shown(backtest: Command) -> None:
    ranked = backtest(*ASKED, "--sort", "net", "--top", "1").stdout
    assert "catalyst_momentum" in ranked
    assert "influencer_fade" not in ranked
    assert "1 strategy is not shown (--top 1)" in ranked
    quiet = backtest(*ASKED, "--quiet").stdout
    assert quiet.startswith("RECONSTRUCTED: Verdict: no strategy was tested against placebos")
    assert len(quiet.splitlines()) <= 3
    trades = backtest(*ASKED, "--trades").stdout
    assert "Trades of catalyst_momentum" in trades
    assert "25-1" in trades
    assert "Net return by capital" not in trades
    assert "Net return by capital" in backtest(*ASKED, "--all").stdout


@pytest.mark.parametrize(("option", "value"), [("--columns", "nett"), ("--sort", "nett")])
def test_an_unknown_column_is_refused_with_the_near_miss(backtest: Command, option: str, value: str) -> None:
    done = backtest(*ASKED, option, value)
    assert done.returncode == 2
    assert f"{option} 'nett' is not a column; did you mean 'net'?" in done.stderr


def test_a_long_list_of_names_is_cut_and_all_shows_it_whole(backtest: Command) -> None:
    assert brief("held A/B:B, C/D:D, E/F:F") == "held A/B:B, C/D:D, E/F:F"
    assert brief("unknown for A, B, C, D: counted") == "unknown for A, B and 2 more: counted"
    assert brief("less: one 1 of 2, two 2 of 3, three 1 of 1, four 3 of 9") == "less: one 1 of 2, two 2 of 3 and 2 more"
    short, whole = (backtest("run", "--placebo", "0", "--bootstrap", "0", *more).stdout for more in ((), ("--all",)))
    assert len(short.splitlines()) <= 48
    for said in ("entries that got less than they wanted", "exits that took more than 0.1", "funding unknown for"):
        assert short.count(said) == 1
        assert whole.count(said) == 1
    assert " more" in short
    assert "XMR/USDT:USDT" not in short
    assert "XMR/USDT:USDT" in whole
