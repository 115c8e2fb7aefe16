"""Baselines for CI: what a strategy did on a market, written down, reviewed, and compared with what it does today."""

from backtest.baseline.checklist import Checked, Checklist
from backtest.baseline.comparison import Comparison, Difference, changes, compare, data_differences, failed, refused
from backtest.baseline.files import baseline_path, baseline_text, read_baseline, write_baseline
from backtest.baseline.record import Baseline, RecordedMetric, baseline_of, data_of, keep_tolerances, rows_of
from backtest.baseline.rerun import baseline_files, check_baseline, check_baselines, record_baseline
from backtest.scoring.metric import METRICS

__all__ = [
    "METRICS",
    "Baseline",
    "Checked",
    "Checklist",
    "Comparison",
    "Difference",
    "RecordedMetric",
    "baseline_files",
    "baseline_of",
    "baseline_path",
    "baseline_text",
    "changes",
    "check_baseline",
    "check_baselines",
    "compare",
    "data_differences",
    "data_of",
    "failed",
    "keep_tolerances",
    "read_baseline",
    "record_baseline",
    "refused",
    "rows_of",
    "write_baseline",
]
