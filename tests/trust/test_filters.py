"""A filter that matches nothing because of a typo is refused with the near miss, by whatever verb it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from backtest.base.errors import BacktestError, ConfigError, near_miss
from backtest.catalysts.reading import open_calendar
from backtest.cli import app
from backtest.market.record import Market
from backtest.request.strategies import strategies_of
from backtest.scoring.evaluation import evaluate
from backtest.session import Session
from backtest.signals.audit import audit
from backtest.strategies import REGISTRY

TYPOS = [
    ("catalyst_momentum", "assets", "zec", "did you mean 'ZEC'"),
    ("listing_fade", "assets", "ZECC", "did you mean 'ZEC'"),
    ("flag_breakout", "assets", "dash", "did you mean 'DASH'"),
    ("buy_and_hold", "assets", "zec", "did you mean 'ZEC'"),
    ("influencer_fade", "actors", "hayes", "did you mean 'Arthur Hayes'"),
    ("listing_momentum", "actors", "okx", "did you mean 'OKX'"),
    ("catalyst_momentum", "actors", "Grayscal", "did you mean 'Grayscale'"),
    ("catalyst_momentum", "kinds", "listings", "did you mean 'listing'"),
    ("catalyst_momentum", "kinds", "Listing", "did you mean 'listing'"),
    ("catalyst_momentum", "kinds", "airdrop", "allowed: "),
]


@pytest.mark.parametrize(("strategy", "key", "name", "hint"), TYPOS)
def test_a_typo_is_refused_with_the_near_miss(strategy: str, key: str, name: str, hint: str, sample: Market) -> None:
    calendar = open_calendar("privacy-2025")
    chosen = REGISTRY[strategy]({key: name})
    for ask in (
        lambda: evaluate([chosen], sample, calendar, plan=None, bootstrap=0),
        lambda: Session(sample, calendar).replay(chosen),
        lambda: audit(chosen, sample, calendar, cuts=3),
    ):
        with pytest.raises(ConfigError, match=f"{key}: '{name}' is not in ") as refused:
            ask()
        assert hint in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-s", "catalyst_momentum", "-p", "kinds=listings", "--placebo", "0", "--bootstrap", "0"),
        ("sweep", "-s", "catalyst_momentum", "-p", "kinds=listings", "-p", "hold=24h,48h"),
        ("walkforward", "-s", "catalyst_momentum", "-p", "kinds=listings", "-p", "hold=24h,48h"),
        ("audit", "-s", "catalyst_momentum", "-p", "kinds=listings"),
        ("why", "zec-2025-10-01-grayscale-trust", "-s", "catalyst_momentum", "-p", "kinds=listings"),
        ("events", "list", "--kind", "listings"),
        ("study", "--kind", "listings"),
        ("baseline", "record", "-s", "catalyst_momentum", "-p", "kinds=listings", "--folder", "b"),
    ],
    ids=lambda words: words[0],
)
def test_each_verb_refuses_it(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, BacktestError), done.output
    assert done.exception.exit_code == 2
    assert "did you mean 'listing'" in str(done.exception)
    assert [*tmp_path.iterdir()] == []


def test_names_that_match_pass_and_defaults_are_not_checked(sample: Market) -> None:
    calendar = open_calendar("privacy-2025")
    few = sample.select(("DASH/USDT:USDT",))
    session = Session(sample, calendar)
    assert session.replay(REGISTRY["catalyst_momentum"]({"actors": "Arthur Hayes", "assets": "ZEC"})).strategy
    for one in strategies_of(("relative_value", "sector_rotation", "listing_fade"), {}):
        Session(few, calendar).replay(one)


def test_near_misses_ignore_capitals_and_take_a_part_of_a_name() -> None:
    assert near_miss("hayes", ["Arthur Hayes", "OKX"]).startswith("did you mean 'Arthur Hayes'? ")
    assert near_miss("zec", ["ZEC", "ZEN"]).startswith("did you mean 'ZEC'? ")
    assert near_miss("listings", ["listing", "upgrade"]).startswith("did you mean 'listing'? ")
    assert near_miss("qqqq", ["listing"]) == "allowed: listing"
