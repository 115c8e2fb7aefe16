"""Types of the fields that several pydantic models share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from backtest.base.errors import UsageError, shortened
from backtest.base.units import duration_ms

_PERCENT = re.compile(r"\s{0,9}([-+]?\d{1,9}(?:\.\d{0,9})?)\s?%\s{0,9}", re.ASCII)


def _duration_text(text: str) -> str:
    try:
        duration_ms(text)
    except UsageError as error:
        # The field's complaint shows the value before this.
        raise ValueError(str(error).removeprefix(f"{shortened(text)} is ")) from None
    return text


Duration = Annotated[str, AfterValidator(_duration_text)]
Milliseconds = Annotated[int, Field(ge=0, lt=4_133_980_800_000)]
"""Time in milliseconds UTC from 1970 to 2100, as stored files give it."""


def below_one(share: float) -> float:
    """The share if it is less than 1; otherwise a `ValueError` that says how to write percent."""
    if share >= 1:
        raise ValueError(f"a share is less than 1; for {share:g} percent write {share / 100:g} or {share:g}%")
    return share


def read_percent(values: Any) -> Any:
    """The values of a model by name, with text such as `10%` as the number 0.1."""
    if not isinstance(values, dict):
        return values
    return {
        name: float(match[1]) / 100.0 if isinstance(value, str) and (match := _PERCENT.fullmatch(value)) else value
        for name, value in values.items()
    }


Share = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(below_one)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
