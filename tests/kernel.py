"""The whole kernel, compiled in the checkout before anything takes a copy of it: each copy would compile its own."""

from __future__ import annotations

import re
from pathlib import Path

from backtest import RunConfig, Session
from backtest.engine.compiling import places, sources
from backtest.signals.strategy import Intent, Intents
from backtest.testing import synthetic_market

ENGINE = Path(__file__).parents[1] / "backtest" / "engine"
COMPILED = re.compile(r"^@compiled\ndef (\w+)", re.M)


def compile_kernel() -> None:
    """Call all that Python calls of it: a run with its intervals, and batches with and without rare features."""
    market = synthetic_market()
    intent = Intent(instrument=market.symbols[0], decided_at_ms=int(market.open_ms[24]), side=1, weight=0.5)
    intents = Intents((intent,))
    for margin in ("isolated", "cross"):
        session = Session(market, config=RunConfig(margin=margin))
        assert session.replay(intents).bounds is not None
        session.statistics(intents, stop_loss=[[0.01]])
    kept = {path.stem.rpartition("-")[0] for place in places() for path in place.glob("*") if not path.suffix}
    written = {name for path in sources(ENGINE) for name in COMPILED.findall(path.read_text(encoding="utf-8"))}
    assert written <= kept, f"compile {', '.join(sorted(written - kept))} here too"
    assert len(written) > 4
