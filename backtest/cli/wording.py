"""Rewords messages that name a setting for users who type options."""

from __future__ import annotations

import re
from collections.abc import Collection

_NAMED = re.compile(r"`([a-z_]+)(?:[ =]([^`]*))?`")
_SHORT = {"strategy": "-s", "param": "-p", "funding_unknown": "--funding"}
"""Options that everybody types by their letter, and those that are named apart."""
_WORDS = """
accept actor after again against all all_venues archive archive_url asset before benchmark bootstrap calendar claims
clean_estimation cluster coins columns confidence config currency cuts dataset default detail direction draws
dry_run embargo endogenous equity estimation exchange exchange_config exclude_overlaps extra_kind finer folder folds
force funding gap github group horizon insecure install_completion instruments json junit kind ledger log_level map
memory model name network out param placebo plan port quiet recipe report require_all rules search sector seed
series set share_overlaps show_completion skip_bad sort spa space statistic store strategy strict subject symbol
symbols synthetic timed timeframe timerange tolerance top trades trials trust tz unit venue version windows with
within workers zone
"""
OPTIONS = frozenset(_WORDS.split())
"""Settings that some verb takes as an option of the same name: asking all verbs takes as long as a replay."""


def as_typed(text: str) -> str:
    """The text with every setting in backquotes as its option: `out` as --out, `max_wait=2h` as --set max_wait=2h.

    Below the command line a message names a setting by its name, since a notebook has no options.
    """
    return _NAMED.sub(_option, text) if "`" in text else text


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    option = _SHORT.get(name) or (f"--{name.replace('_', '-')}" if name in OPTIONS else "")
    if option:
        return f"{option} {value}" if value else option
    if name in _settings():
        return f"--set {name}={value}" if value else f"--set {name}"
    return match[0]


def _settings() -> Collection[str]:
    """The settings of a run, which `--set` takes."""
    from backtest.base.config import RunConfig

    return RunConfig.model_fields
