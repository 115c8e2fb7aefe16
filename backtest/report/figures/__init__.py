"""Figures of a run, a study, a search and a check of claims: each is `<name>_data`, the numbers, and `<name>`."""

from __future__ import annotations

from backtest.report.figures.checks import claims, claims_data
from backtest.report.figures.replays import replay_panel, replay_panel_data
from backtest.report.figures.results import capacity, capacity_data, costs, costs_data, equity, equity_data
from backtest.report.figures.searches import heat_map, heat_map_data, overfitting, overfitting_data
from backtest.report.figures.studies import abnormal_returns, abnormal_returns_data, influencers, influencers_data
from backtest.report.figures.svg import to_svg
from backtest.report.figures.timelines import timeline, timeline_data
from backtest.report.figures.together import equities, equities_data, growth
from backtest.report.figures.trades import (
    months,
    months_data,
    trade_excursions,
    trade_returns,
    trade_returns_data,
    trades_data,
)

__all__ = [
    "abnormal_returns",
    "abnormal_returns_data",
    "capacity",
    "capacity_data",
    "claims",
    "claims_data",
    "costs",
    "costs_data",
    "equities",
    "equities_data",
    "equity",
    "equity_data",
    "growth",
    "heat_map",
    "heat_map_data",
    "influencers",
    "influencers_data",
    "months",
    "months_data",
    "overfitting",
    "overfitting_data",
    "replay_panel",
    "replay_panel_data",
    "timeline",
    "timeline_data",
    "to_svg",
    "trade_excursions",
    "trade_returns",
    "trade_returns_data",
    "trades_data",
]
