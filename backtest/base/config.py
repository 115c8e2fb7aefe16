"""The run configuration: capital, costs and portfolio rules, each setting with its default, bounds and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from backtest.base.arguments import checked
from backtest.base.documents import build, read_toml, worded
from backtest.base.errors import ConfigError
from backtest.base.fields import NO_SHARE, Duration, NonNegative, Share, read_percent
from backtest.base.identity import hash_of, neutral


def _of_volume(share: float) -> float:
    if 1 < share < float("inf"):
        raise ValueError(
            f"a fill takes at most all of a bar's volume: for {share:g} percent write {share / 100:g} or {share:g}%, "
            "for no cap inf"
        )
    return share


@worded("configuration", ConfigError)
class RunConfig(BaseModel):
    """How a strategy is replayed: capital, costs, portfolio rules. Frozen; an unknown key is an error.

    Rates are fractions (0.0005 is 5 basis points), money is in the quote currency, durations are text (`7d`). A setting
    added after 0.1 names its neutral value: `json_schema_extra=neutral(...)`.

    Raises
    ------
    ConfigError
        Naming the first setting that is unknown or out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    capital: Annotated[float, Field(ge=1e-6, le=1e15)] = Field(
        100_000.0, description="starting equity, quote currency", json_schema_extra=NO_SHARE
    )
    fee_rate: Share = Field(0.0005, description="taker fee, share of notional")
    half_spread: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0005, description="half the bid-ask spread, share of price"
    )
    impact: NonNegative = Field(1.0, description="Y in Y * sigma * sqrt(notional / ADV)")
    liquidity_window: Duration = Field("7d", description="trailing window of sigma and ADV")
    participation: Annotated[float, Field(gt=0), AfterValidator(_of_volume)] = Field(
        0.1, description="most of one trailing bar's volume that a fill may take; inf for no cap"
    )
    leverage: Annotated[float, Field(ge=1, le=200)] = Field(
        1.0, description="notional / initial margin", json_schema_extra=NO_SHARE
    )
    gross_cap: Annotated[float, Field(ge=1e-6, le=1_000)] = Field(1.0, description="most gross notional / equity")
    maintenance_margin: Share = Field(
        0.02, description="of notional; below it a swap is liquidated", validate_default=True
    )
    liquidation_fee: Share = Field(0.0125, description="of notional, paid at liquidation")
    funding_unknown: Literal["error", "zero", "const"] = Field(
        "const", description="where a swap's funding is not known"
    )
    funding_const: Share = Field(
        0.0001, description="rate per 8 h charged against the position under `const`, long or short"
    )
    in_position: Literal["ignore", "extend", "add"] = Field("ignore", description="a new intent while in position")
    reaction: Duration = Field("0m", description="from decision to the order reaching the market")
    max_wait: Duration = Field("24h", description="longest wait for a bar to fill on")
    stop_order: Literal["pessimistic", "optimistic", "adverse_first"] = Field(
        "pessimistic", description="which of the exits that a bar allows is taken"
    )
    seed: int = Field(20251101, description="seed of every random draw")
    maker_fee_rate: Annotated[float, Field(gt=-0.01, lt=1)] = Field(
        0.0002,
        description="fee of a limit order that rested, share of notional; negative is a rebate",
        json_schema_extra=neutral(0.0002),
    )
    largest_jump: Annotated[float, Field(gt=1)] = Field(
        10.0,
        description="ratio of an open to the close before it from which prices are refused; inf for none",
        json_schema_extra=neutral(10.0) | NO_SHARE,
    )
    target_orders: Literal["market", "limit"] = Field(
        "market",
        description="take-profit as a taker where touched, or as a maker where traded through",
        json_schema_extra=neutral("market"),
    )
    partial_exits: bool = Field(
        False,
        description="exits too take at most `participation` of a bar; the rest is filled at the next opens",
        json_schema_extra=neutral(False),
    )
    liquidation_trigger: Literal["mark", "last"] = Field(
        "mark",
        description="price that liquidates; the last price where a bar of the mark price is unknown",
        json_schema_extra=neutral("mark"),
    )
    stop_trigger: Literal["last", "mark"] = Field(
        "last",
        description="price that triggers a stop loss",
        json_schema_extra=neutral("last"),
    )

    margin: Literal["isolated", "cross"] = Field(
        "isolated",
        description="what backs a contract: its own margin, or one account all of them",
        json_schema_extra=neutral("isolated"),
    )

    @model_validator(mode="before")
    @classmethod
    def _percent(cls, values: Any) -> Any:
        return read_percent(cls, values)

    @field_validator("maintenance_margin")
    @classmethod
    def _survives_its_entry(cls, maintenance: float, info: ValidationInfo) -> float:
        leverage, half_spread = info.data.get("leverage", 1.0), info.data.get("half_spread", 0.0)
        # A long bought at (1 + h) times the open is liquidated at (1 + h) (1 - 1 / leverage) / (1 - m) of it.
        needed = 1.0 - (1.0 - maintenance) / (1.0 + half_spread)
        if 1.0 / leverage <= needed:
            raise ValueError(
                f"with leverage = {leverage:g} the margin of {1 / leverage:.3%} is used up at the entry by it and the "
                f"half-spread of {half_spread:.3%}: choose leverage below {1 / needed:.4g}"
            )
        return maintenance

    @model_validator(mode="after")
    def _can_be_shared(self) -> RunConfig:
        if self.margin == "cross" and self.stop_order != "pessimistic":
            raise ValueError(
                f"margin = 'cross' is replayed on the worst common path only: stop_order = {self.stop_order!r} is not "
                "defined for it; choose stop_order = 'pessimistic' or margin = 'isolated'"
            )
        if self.margin == "cross" and self.partial_exits:
            raise ValueError(
                "margin = 'cross' closes an account whole: partial_exits = true is not defined for it; leave it out or "
                "choose margin = 'isolated'"
            )
        return self

    def hash(self) -> str:
        """First 16 hex digits of the sha256 of the settings that have an effect (`backtest.base.identity`)."""
        return hash_of(self)


@checked
def load_config(path: Path | str | None = None, /, **overrides: Any) -> RunConfig:
    """RunConfig from an optional TOML file, then `overrides` on top."""
    values = read_toml(Path(path), ConfigError) if path is not None else {}
    return build(RunConfig, {**values, **overrides}, f"configuration {path}" if path else "configuration")
