"""Many baselines checked at once, with one exit code for all."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.base.display import plural
from backtest.base.errors import BaselineError, DataError
from backtest.baseline.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Checked:
    """A baseline file and the outcome of its check."""

    file: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Checklist:
    """Every file checked, in order.

    `missing` are registered strategies without a baseline, a failure where `all_required`.
    """

    checked: tuple[Checked, ...]
    missing: tuple[str, ...]
    all_required: bool

    def having(self, status: str) -> tuple[Checked, ...]:
        """The files of one status."""
        return tuple(one for one in self.checked if one.comparison.status == status)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Strategies that fail because they have no baseline."""
        return self.missing if self.all_required else ()

    @property
    def exit_code(self) -> int:
        """3 if any was refused; otherwise 4 if any regressed or a required one is missing; otherwise 0."""
        if self.having("refused"):
            return DataError.exit_code
        return BaselineError.exit_code if self.having("regressed") or self.lacking else 0

    @property
    def sentence(self) -> str:
        """`12 baselines: 10 passed, 1 regressed, 1 refused`."""
        counts = [(len(self.having(status)), status) for status in ("passed", "regressed", "refused")]
        counts.append((len(self.lacking), "missing"))
        told = ", ".join(f"{count} {status}" for count, status in counts if count)
        return f"{plural(len(self.checked), 'baseline', 'baselines')}: {told}"

    def check(self) -> None:
        """Raise the error that sums up the list.

        Raises
        ------
        DataError
            If any file was refused: data take precedence over metrics, since metrics of different data cannot be
            compared.
        BaselineError
            Where any regressed, or a required one is missing.
        """
        if self.exit_code == DataError.exit_code:
            raise DataError(
                f"{self.sentence}: restore the data, calendar or file named above, or `backtest baseline record` anew"
            )
        if self.exit_code:
            raise BaselineError(
                f"{self.sentence}: undo what changed, or `backtest baseline record` if it was intended, and review that"
            )
