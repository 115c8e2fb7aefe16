"""Types of the fields that several pydantic models share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from backtest.errors import UsageError
from backtest.units import duration_ms


def _duration_text(text: str) -> str:
    try:
        duration_ms(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


Duration = Annotated[str, AfterValidator(_duration_text)]
Milliseconds = Annotated[int, Field(ge=0, lt=4_133_980_800_000)]
"""Time in milliseconds UTC from 1970 to 2100, as stored files give it."""
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
