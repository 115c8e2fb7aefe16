"""The ledger as tables, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.ledger.judgement import judge_trials
from backtest.ledger.records import canonical
from backtest.ledger.store import Ledger


@checked
def trial_frame(ledger: Ledger) -> pd.DataFrame:
    """One row per trial: its request, its scores, and each p as of now; NaN where undefined."""
    rows = []
    for one in judge_trials(ledger):
        body = one.trial.body
        row: dict[str, Any] = {"seq": one.trial.seq, "key": one.trial.key}
        row |= {name: body[name] for name in ("time", "version", "strategy", "source", "data", "calendar", "parent")}
        row |= {f"{name}_hash": value for name, value in body["hashes"].items()}
        row |= {"parameters": canonical(body["parameters"]), "plan": canonical(body["plan"])}
        row |= {"common_draws": body["common"], "draws": body["n"], "observed": body["observed"]}
        row |= {"p": one.p, "p_command": one.command, "p_family": one.family, "p_adjusted": one.adjusted}
        row |= {"trials": one.trials, "families": one.families, "untested": one.untested, "reason": one.reason}
        row |= {"p_decided": one.decided, "level": one.level, "passes": one.passes}
        row |= {"registered": one.registration.seq if one.registration else 0}
        rows.append(row | {f"score_{name}": value for name, value in body["scores"].items()})
    return pd.DataFrame(rows)


def export_draws(ledger: Ledger, path: Path) -> None:
    """Write the draws of every tested trial as one array per trial, `seq_12`, of an npz file."""
    tested = [one.seq for one in ledger.trials() if one.tested]
    np.savez(path, **{f"seq_{seq}": ledger.draws_of(seq) for seq in tested})  # type: ignore[arg-type]
