"""Pre-registration: one test written down before it is run."""

from __future__ import annotations

from backtest.base.arguments import checked
from backtest.base.errors import UsageError
from backtest.ledger.recording import asked_hash
from backtest.ledger.records import Registration
from backtest.ledger.store import Ledger
from backtest.request.request import Request


@checked
def register_test(ledger: Ledger, hypothesis: str, request: Request) -> Registration:
    """Write a hypothesis and its one test into the ledger; the data need not exist yet.

    The registration counts for the run of the same request (strategy and its source, every parameter, configuration,
    placebo, data, calendars and time range as typed), if nothing else was tried on its catalysts before.

    Raises
    ------
    UsageError
        Without words, for several strategies, without a placebo, or if the test is already registered under other
        words.
    """
    words = " ".join(hypothesis.split())
    if not words:
        raise UsageError("a hypothesis needs words: write what is expected, and why")
    chosen = request.chosen()
    if len(chosen) != 1:
        raise UsageError(
            f"a registration is of one test, and {len(chosen)} strategies are asked for: name one with `strategy`"
        )
    if request.plan(0) is None:
        raise UsageError("a registered test needs a placebo: leave `placebo=0` out")
    return ledger.register(words, chosen[0].name, asked_hash(request), request.document())
