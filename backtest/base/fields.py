"""Types of the fields that several pydantic models share."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, Field

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


NO_SHARE: dict[str, Any] = {"share": False}
"""Argument `json_schema_extra` of a number that is none of a whole, such as money: percent is no value of it."""


def read_percent(model: type[BaseModel], values: Any) -> Any:
    """The values of a model by name, with text such as `10%` as the number 0.1 where a share can stand."""
    if not isinstance(values, dict):
        return values
    return {
        name: float(match[1]) / 100.0
        if isinstance(value, str) and _may_be_share(model, name) and (match := _PERCENT.fullmatch(value))
        else value
        for name, value in values.items()
    }


def _may_be_share(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    if field is None:
        return False
    extra = field.json_schema_extra
    return float in (field.annotation, *get_args(field.annotation)) and not (
        isinstance(extra, dict) and extra.get("share") is False
    )


Share = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(below_one)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
