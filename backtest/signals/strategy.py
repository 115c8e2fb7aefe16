"""What a strategy is, and the sparse table of intents it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_origin

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from backtest.base.documents import build
from backtest.base.errors import ConfigError, near_miss, shortened
from backtest.base.fields import below_one, read_percent
from backtest.base.units import format_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Floats, Market

LEAST_WEIGHT = 1e-6
"""Smallest share of equity that an intent may want: what the kernel scales below it is no position."""
NEVER_MS = 2**62
"""A duration or instant that is never reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One decision to hold one instrument.

    Attributes
    ----------
    instrument : str
        Unified symbol in the market.
    decided_at_ms : int
        When the decision was made, milliseconds UTC; it fills at the first open at or after this.
    side : {1, -1}
        Long or short.
    weight : float
        Notional wanted as a share of equity, > 0.
    notional : float
        Fixed notional in the account's currency in place of `weight`; NaN for none.
    risk : float
        Share of equity that is lost at the stop, before costs, in place of `weight`; needs `stop_loss`; NaN for none.
    limit, stop_entry : float
        Distance, from the last close before the order arrives, at which it rests: `limit` on the better side (below for
        a long), `stop_entry` on the worse side; NaN for a market order. Negative is the other side.
    expires_ms : int
        How long after the decision it may still fill; `NEVER_MS` for the configuration's `max_wait`.
    hold_ms : int
        Time limit from the fill; `NEVER_MS` for none.
    stop_loss, take_profit, trailing_stop : float
        Distance from the fill price (trailing: from the best price since) as a share of it; NaN for none.
    activation : float
        Gain from the fill price, share of it, that the best price must reach before the trailing stop follows it; NaN
        for at once.
    second_trailing_stop, second_activation : float
        Distance at which a stop follows the best price once that has gained `second_activation` from the fill, beside
        `trailing_stop`: the nearer of both holds; NaN for none.
    break_even : float
        Gain from the fill price that the best price must reach before the stop moves to the fill price; NaN for none.
    late_take_profit, late_ms : float, int
        Target from `late_ms` after the fill on, in place of `take_profit`; it may be a loss. NaN, `NEVER_MS` for none.
    targets : tuple of (float, float)
        Several targets: gain, and the share of the order that exits there; the rest keeps the other exits. Such an
        order is a single order at the entry, in size and cost, and one row per part from then on.
    part_of : str
        Name shared by the parts of one order, each with its own exits; empty for none.
    exit_at_ms : int
        Decision to exit, at the first open at or after it; `NEVER_MS` for none.
    catalyst_id : str
        The catalyst behind the decision; empty for none.
    group : str
        Name shared by legs that enter and exit together; empty for none.
    """

    instrument: str
    decided_at_ms: int
    side: int = 1
    weight: float = 1.0
    notional: float = float("nan")
    risk: float = float("nan")
    limit: float = float("nan")
    stop_entry: float = float("nan")
    expires_ms: int = NEVER_MS
    hold_ms: int = NEVER_MS
    stop_loss: float = float("nan")
    take_profit: float = float("nan")
    trailing_stop: float = float("nan")
    activation: float = float("nan")
    second_trailing_stop: float = float("nan")
    second_activation: float = float("nan")
    break_even: float = float("nan")
    late_take_profit: float = float("nan")
    late_ms: int = NEVER_MS
    targets: tuple[tuple[float, float], ...] = ()
    part_of: str = ""
    exit_at_ms: int = NEVER_MS
    catalyst_id: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """One decision to exit one instrument: positions decided on it before are closed, or no longer entered.

    Attributes
    ----------
    instrument : str
    decided_at_ms : int
        When it was decided, milliseconds UTC; it acts at the first open at or after this.
    catalyst_id : str
        Applies only to decisions for this catalyst; empty for all.
    """

    instrument: str
    decided_at_ms: int
    catalyst_id: str = ""


Decision = Intent | Exit


@dataclass(frozen=True, slots=True, eq=False)
class Intents:
    """K decisions to enter in order of `decided_at`, ties in the order given; arrays (K,), read-only.

    `exits` are decisions to leave: each intent gets the first that was decided after it on its instrument as its
    `exit_at_ms`, so that what is known later acts later. `decisions` are all of them as they were given.

    `notes` has one sentence for each thing the strategy lacked (no open interest, no spot leg), so that missing data
    never pass in silence.

    Raises
    ------
    ConfigError
        For a side, weight, duration or level out of range, or a group whose legs were not decided together.
    """

    rows: tuple[Intent, ...] = ()
    notes: tuple[str, ...] = ()
    exits: tuple[Exit, ...] = ()
    decisions: tuple[Intent | Exit, ...] = field(init=False, repr=False)
    decided_at_ms: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for row in self.rows:
            _check(row)
        every: list[Decision] = [*self.rows, *self.exits]
        every.sort(key=lambda row: row.decided_at_ms)
        object.__setattr__(self, "decisions", tuple(every))
        object.__setattr__(self, "exits", tuple(sorted(self.exits, key=lambda row: row.decided_at_ms)))
        leave = self._exits_by_what_they_apply_to()
        entries = [_bound(row, leave) for row in every if isinstance(row, Intent)]
        ordered = tuple(part for place, row in enumerate(entries) for part in _parts(row, place))
        object.__setattr__(self, "rows", ordered)
        decided = np.array([row.decided_at_ms for row in ordered], dtype=np.int64)
        decided.flags.writeable = False
        object.__setattr__(self, "decided_at_ms", decided)
        self._check_groups()

    def _exits_by_what_they_apply_to(self) -> dict[tuple[str, str], list[int]]:
        """Moments of the exits in order, by instrument and catalyst; a search for each intent would be quadratic."""
        moments: dict[tuple[str, str], list[int]] = {}
        for one in self.exits:
            moments.setdefault((one.instrument, one.catalyst_id), []).append(one.decided_at_ms)
        return moments

    def _check_groups(self) -> None:
        last: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            if row.group and row.group in last:
                before = self.rows[last[row.group]]
                if last[row.group] != number - 1 or before.decided_at_ms != row.decided_at_ms:
                    raise ConfigError(
                        f"group {row.group!r} has legs decided at {format_ms(before.decided_at_ms)} and "
                        f"{format_ms(row.decided_at_ms)} or with others between them: decide its legs together"
                    )
            last[row.group] = number
        self._check_parts()

    def _check_parts(self) -> None:
        """Check that the parts of one order are adjacent and alike in everything before they fill."""
        last: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            if row.part_of and row.part_of in last:
                before = self.rows[last[row.part_of]]
                for name in ("instrument", "decided_at_ms", "side", "limit", "stop_entry", "expires_ms"):
                    one, other = getattr(before, name), getattr(row, name)
                    if one != other and (one == one or other == other):
                        raise ConfigError(
                            f"order {row.part_of!r} has parts with {name} = {one!r} and {other!r}: they fill together"
                        )
                if last[row.part_of] != number - 1:
                    raise ConfigError(f"order {row.part_of!r} has others between its parts: decide them together")
            last[row.part_of] = number

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Intents {len(self)} decisions>"

    def values(self, name: str) -> npt.NDArray[Any]:
        """(K,) array of one field of the intents."""
        return np.array([getattr(row, name) for row in self.rows])


def _bound(row: Intent, exits: Mapping[tuple[str, str], Sequence[int]]) -> Intent:
    """The intent with the first exit decided after it, and its risk as a weight."""
    exit_at, weight = row.exit_at_ms, row.risk / row.stop_loss
    for catalyst in {"", row.catalyst_id}:
        moments = exits.get((row.instrument, catalyst), ())
        first = bisect_right(moments, row.decided_at_ms)
        exit_at = min((exit_at, *moments[first : first + 1]))
    if exit_at >= row.exit_at_ms and weight != weight:
        return row
    return replace(row, exit_at_ms=exit_at, weight=row.weight if weight != weight else weight, risk=float("nan"))


def _parts(row: Intent, place: int) -> tuple[Intent, ...]:
    """The parts of an intent with several targets, one per target; the intent itself if it has none."""
    if not row.targets:
        return (row,)
    name = f"{row.instrument} {row.decided_at_ms} {place}"
    shares = [(gain, share) for gain, share in row.targets]
    left = 1.0 - sum(share for _, share in shares)
    if left > LEAST_WEIGHT:
        shares.append((row.take_profit, left))
    return tuple(
        replace(
            row, weight=row.weight * share, notional=row.notional * share, take_profit=gain, targets=(), part_of=name
        )
        for gain, share in shares
    )


def _check_targets(row: Intent, what: str) -> None:
    for gain, share in row.targets:
        if not (0 < gain < (1 if row.side < 0 else float("inf")) and 0 < share <= 1):
            raise ConfigError(
                f"{what}: target ({gain!r}, {share!r}) must be a reachable gain and a share of the order up to 1"
            )
    if sum(share for _, share in row.targets) > 1 + 1e-9:
        raise ConfigError(f"{what}: the shares of targets = {row.targets!r} add up to more than 1")
    if (row.targets or row.part_of) and row.group:
        raise ConfigError(
            f"{what}: group {row.group!r} leaves together, parts of an order do not: give the "
            "group, or targets with shares (`param scale_out`), not both"
        )
    if row.targets and row.part_of:
        raise ConfigError(f"{what}: give targets, or write the parts of order {row.part_of!r} yourself, not both")
    if (row.late_take_profit == row.late_take_profit) != (row.late_ms != NEVER_MS) or row.late_ms <= 0:
        raise ConfigError(
            f"{what}: late_take_profit = {row.late_take_profit!r} and late_ms = {row.late_ms!r} need each other"
        )
    if not abs(row.late_take_profit) < 1 and row.late_take_profit == row.late_take_profit and row.side < 0:
        raise ConfigError(f"{what}: late_take_profit = {row.late_take_profit!r} is never reached: it must be below 1")
    if not -1 < row.late_take_profit < float("inf") and row.late_take_profit == row.late_take_profit:
        raise ConfigError(f"{what}: late_take_profit = {row.late_take_profit!r} must be a gain above -1")
    if (row.second_trailing_stop == row.second_trailing_stop) != (row.second_activation == row.second_activation):
        raise ConfigError(
            f"{what}: second_trailing_stop = {row.second_trailing_stop!r} and second_activation = "
            f"{row.second_activation!r} need each other"
        )


def _check(row: Intent) -> None:
    if not isinstance(row, Intent):
        raise ConfigError(f"intents hold {shortened(row)} of type {type(row).__name__}: give rows of type Intent")
    what = f"intent on {row.instrument} decided at {format_ms(row.decided_at_ms)}"
    if row.side not in (1, -1):
        raise ConfigError(f"{what}: side = {row.side!r} must be 1 (long) or -1 (short)")
    if not LEAST_WEIGHT <= row.weight < float("inf"):
        raise ConfigError(f"{what}: weight = {row.weight!r} must be a share of equity of at least {LEAST_WEIGHT:g}")
    for name in ("notional", "risk"):
        value = getattr(row, name)
        if value <= 0 or value == float("inf"):
            raise ConfigError(f"{what}: {name} = {value!r} must be positive and finite, or NaN for none")
    if row.risk == row.risk and not row.stop_loss > 0:
        raise ConfigError(f"{what}: risk = {row.risk!r} needs a stop_loss: it is the share of equity lost there")
    if row.risk == row.risk and row.notional == row.notional:
        raise ConfigError(f"{what}: give a notional or a risk, not both")
    if row.limit == row.limit and row.stop_entry == row.stop_entry:
        raise ConfigError(f"{what}: give a limit or a stop_entry, not both")
    for name in ("limit", "stop_entry"):
        value = getattr(row, name)
        if not -1 < value < 1 and value == value:
            raise ConfigError(f"{what}: {name} = {value!r} must be a share of the price between -1 and 1, or NaN")
        if row.group and value == value:
            raise ConfigError(f"{what}: group {row.group!r} enters at market: its legs fill together; drop its {name}")
    if row.expires_ms <= 0:
        raise ConfigError(f"{what}: expires_ms = {row.expires_ms!r} must be positive")
    if row.hold_ms <= 0:
        raise ConfigError(f"{what}: it is held for {row.hold_ms} ms: hold must be longer than 0, as in hold=24h")
    _check_targets(row, what)
    if row.activation == row.activation and not row.trailing_stop > 0:
        raise ConfigError(f"{what}: activation = {row.activation!r} needs a trailing_stop: it says when that begins")
    distances = ("stop_loss", "trailing_stop", "second_trailing_stop")
    for name in (*distances, "take_profit", "activation", "second_activation", "break_even"):
        value = getattr(row, name)
        if value <= 0 or value == float("inf"):
            raise ConfigError(f"{what}: {name} = {value!r} must be a positive share of the price, or NaN for none")
        beyond_zero = name not in distances if row.side < 0 else name in distances
        if value >= 1 and (beyond_zero or name == "stop_loss"):
            raise ConfigError(
                f"{what}: {name} = {value!r} is never reached: it must be less than 1; for {value:g} percent write "
                f"{value / 100:g}"
            )


_GAINS = ("take_profit", "activation", "second_activation", "break_even", "scale_out")


def _share_or_percent(value: object) -> object:
    """The value, but for text such as `10`, which is as likely to mean 10 % as ten times the whole."""
    if isinstance(value, str) and value.strip().replace(".", "", 1).isdecimal() and float(value) >= 1:
        raise ValueError(
            f"a share of 1 is the whole: write {float(value):g}%, or {float(value) * 100:g}% if you mean that"
        )
    return value


class Parameters(BaseModel):
    """Base of a strategy's parameters: frozen, typed, an unknown name is an error; `10%` is 0.1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _percent(cls, values: Any) -> Any:
        return read_percent(cls, values)

    @model_validator(mode="before")
    @classmethod
    def _several(cls, values: Any) -> Any:
        """Text of a parameter that takes several values, split at commas."""
        if not isinstance(values, dict):
            return values
        several = {name for name, one in cls.model_fields.items() if get_origin(one.annotation) is tuple}
        return {name: _split(value) if name in several else value for name, value in values.items()}

    _reachable = field_validator("stop_loss", "trailing_stop", check_fields=False)(below_one)
    _plain = field_validator(*_GAINS, mode="before", check_fields=False)(_share_or_percent)


P = TypeVar("P", bound=Parameters)


class Strategy(ABC, Generic[P]):
    """One hypothesis: reads a market and a calendar, returns intents, keeps no state.

    A subclass names itself, states its hypothesis in one sentence, types its parameters, and writes `decide`. An intent
    may use only what was known at its `decided_at_ms`: bars that had closed, catalysts whose `known_at` had passed.
    """

    name: ClassVar[str]
    hypothesis: ClassVar[str]
    parameters_type: ClassVar[type[Parameters]]

    def reads(self) -> tuple[str, ...]:
        """Names of the auxiliary series that `decide` reads with `reading`; none by default."""
        return ()

    def reading(self, name: str, market: Market) -> Floats:
        """(T,) a declared auxiliary series as known at each bar's close, NaN where the market does not carry it.

        Raises
        ------
        ConfigError
            For a name that `reads` does not declare.
        """
        if name not in self.reads():
            raise ConfigError(
                f"strategy {self.name!r} reads series {name!r}, which it does not declare: return it by reads(), "
                f"which names {', '.join(self.reads()) or 'none'}"
            )
        return market.reading(name)

    def unsupplied(self, market: Market) -> tuple[str, ...]:
        """A note for each declared series that the market does not carry."""
        return tuple(
            f"series {name} is not supplied (`series {name}=FILE.csv`): nothing is decided on it"
            for name in self.reads()
            if name not in market.auxiliary
        )

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.parameters: P = build(self.parameters_type, dict(values or {}), f"strategy {self.name}")  # type: ignore[assignment]

    @abstractmethod
    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """Every intent of this strategy over the whole market and calendar."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Parameter of several names; text is split at commas."""


Share = Annotated[float, Field(ge=0, lt=100, allow_inf_nan=False)]
"""Parameter that is a share of a price; 0 stands for none."""


def level(share: float) -> float:
    """A level parameter in the form an intent takes: NaN for none."""
    return share if share > 0 else float("nan")


def instruments_of(assets: tuple[str, ...], market: Market) -> tuple[str, ...]:
    """Symbol of each coin in the market, swap first.

    Raises
    ------
    ConfigError
        For a coin that the market does not hold, or no coin at all.
    """
    if not assets:
        raise ConfigError("assets is empty: name at least one coin, as in `param assets=ZEC`")
    columns = {asset: market.column_of(asset) for asset in assets}
    held = sorted({instrument.base for instrument in market.instruments})
    for asset, column in columns.items():
        if column is None:
            raise ConfigError(
                f"assets: {asset!r} is not in market {market.provenance.name!r}; {near_miss(asset, held)}"
            )
    return tuple(market.symbols[column] for column in columns.values() if column is not None)
