"""Catalysts and the calendar that holds them, read from TOML with strict validation."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic_core import ValidationError
from pydantic_core import core_schema as schemas

from backtest.base.display import Shown, View, plural
from backtest.base.documents import complaints, worded
from backtest.base.errors import CalendarError, UsageError, near_miss, shortened
from backtest.base.units import TimeRange, to_ms
from backtest.base.validated import schema_of, validated, validator_of
from backtest.catalysts.instants import instant
from backtest.catalysts.rows import check_columns, keys_of, name_rows

if TYPE_CHECKING:
    import pandas as pd

Precision = Literal["second", "minute", "hour", "day", "untimed"]
Confidence = Literal["high", "medium", "low"]

KINDS = frozenset(
    {
        "delisting", "etf_filing", "exchange_security", "governance", "influencer_call", "integration", "listing",
        "market_crash", "oi_record", "price_record", "protocol",
        "regulation", "security", "technical", "tokenomics", "treasury", "trust_relaunch", "unlock", "upgrade",
    }
)  # fmt: skip
ENDOGENOUS = frozenset({"market_crash", "oi_record", "price_record", "technical"})
"""Kinds that are a move of the price itself, dated by it."""
KIND = r"^[a-z][a-z0-9_]{1,40}$"
_ZERO_BELOW = {
    "second": ("microsecond",),
    "minute": ("microsecond", "second"),
    "hour": ("microsecond", "second", "minute"),
    "day": ("microsecond", "second", "minute", "hour"),
}

_INSTANT = schemas.no_info_before_validator_function(instant, schemas.datetime_schema())
_NAME = schemas.str_schema(min_length=1, max_length=200)
_SCHEMAS = {
    "id": schemas.str_schema(pattern=r"^[a-z0-9][a-z0-9-]{2,80}$"),
    "assets": schemas.tuple_variable_schema(schemas.str_schema(pattern=r"^[A-Z0-9]{1,20}$"), min_length=1),
    "kind": schemas.str_schema(pattern=KIND),
    "actor": _NAME,
    "direction": schemas.literal_schema([1, -1, 0]),
    "precision": schemas.literal_schema(list(get_args(Precision))),
    "source": _NAME,
    "confidence": schemas.literal_schema(list(get_args(Confidence))),
    "announced_at": schemas.nullable_schema(_INSTANT),
    "between": schemas.nullable_schema(schemas.tuple_positional_schema([_INSTANT, _INSTANT])),
    "effective_at": schemas.nullable_schema(_INSTANT),
    "confounded_with": schemas.tuple_variable_schema(schemas.str_schema()),
    "note": schemas.str_schema(max_length=10_000),
    "endogenous": schemas.bool_schema(),
}
"""What each key of a catalyst may hold."""


@worded("catalyst", CalendarError)
@validated(_SCHEMAS)
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Catalyst(Shown):
    """One event, and what was public about it at what time.

    Attributes
    ----------
    id : str
        Unique in its calendar, lower case with hyphens.
    assets : tuple of str
        Base coins it is about; it is named after the first.
    kind, actor : str
        What it was and who did it.
    direction : {1, -1, 0}
        Expected sign of the price reaction, as of the event; 0 if there is no expectation.
    announced_at : datetime or None
        Start of the period in which it became public, UTC, truncated to `precision`; None only where untimed.
    precision : {second, minute, hour, day, untimed}
        Length of that period. An untimed catalyst is never tradable.
    between : (datetime, datetime) or None
        For an untimed one, the days between which it fell, if known.
    effective_at : datetime or None
        When the announced change took effect, if at another time.
    source, confidence, note : str
        Who says so, how sure that is (high: several independent sources, medium: one good one, low: doubtful).
    confounded_with : tuple of str
        Ids of catalysts whose effects cannot be separated from this one's.
    endogenous : bool
        Whether it is a move of the price or of positions itself, dated by looking at them. Such catalysts are shown
        separately and left out of inference by default. Defaults to that of its kind (`ENDOGENOUS`).

    Raises
    ------
    CalendarError
        Naming the first key that is wrong.
    """

    id: str
    assets: tuple[str, ...]
    kind: str
    actor: str
    direction: Literal[1, -1, 0]
    precision: Precision
    source: str
    confidence: Confidence
    announced_at: datetime | None = None
    between: tuple[datetime, datetime] | None = None
    effective_at: datetime | None = None
    confounded_with: tuple[str, ...] = ()
    note: str = ""
    endogenous: bool = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.precision == "untimed":
            if self.announced_at is not None:
                raise ValueError("an untimed catalyst has no announced_at: remove it, or say its precision")
        elif self.announced_at is None:
            raise ValueError("announced_at is missing: add it, or say precision = 'untimed'")
        elif any(getattr(self.announced_at, part) for part in _ZERO_BELOW[self.precision]):
            raise ValueError(
                f"announced_at {self.announced_at.isoformat()} is finer than precision {self.precision!r}: "
                "truncate it or name a finer precision"
            )
        elif self.between is not None:
            raise ValueError("between belongs to an untimed catalyst: remove it")
        if self.between is not None and self.between[1] < self.between[0]:
            raise ValueError("between ends before it starts: swap its dates")
        if len(set(self.assets)) != len(self.assets):
            raise ValueError(f"assets {', '.join(self.assets)} name a coin twice: keep one")
        if self.endogenous not in (True, False):
            object.__setattr__(self, "endogenous", self.kind in ENDOGENOUS)

    def said(self) -> dict[str, Any]:
        """Every field that has an effect: `endogenous` only if it differs from the kind's default."""
        usual = self.endogenous == (self.kind in ENDOGENOUS)
        return {key: getattr(self, key) for key in KEYS if key != "endogenous" or not usual}

    @property
    def timed(self) -> bool:
        """Whether at least the day of the announcement is known."""
        return self.announced_at is not None

    @property
    def when(self) -> str:
        """The announcement as text, no finer than it is known."""
        if self.announced_at is None:
            return "untimed" if self.between is None else f"{self.between[0]:%Y-%m-%d}..{self.between[1]:%m-%d}"
        pattern = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:--"}.get(self.precision, "%Y-%m-%d %H:%M")
        return self.announced_at.strftime(pattern)

    def _line(self) -> str:
        return f"{self.id}: {self.kind} of {', '.join(self.assets)}, {self.when}"

    def _view(self) -> View:
        said = {
            "actor": self.actor,
            "announced": f"{self.when} UTC, known to the {self.precision}" if self.timed else self.when,
            "effective": f"{self.effective_at:%Y-%m-%d %H:%M} UTC" if self.effective_at else "",
            "direction": f"{self.direction:+d}",
            "confidence": self.confidence,
            "source": self.source,
            "confounded with": ", ".join(self.confounded_with),
            "endogenous": "a move of the price itself" if self.endogenous else "",
        }
        return View(("", ""), [(name, text) for name, text in said.items() if text], (self.note,) if self.note else ())


KEYS = tuple(field.name for field in fields(Catalyst))
"""Of a catalyst, in order: the columns of a calendar as a table."""


@worded("calendar", CalendarError)
@validated({"name": schemas.str_schema(), "catalysts": schemas.tuple_variable_schema(schema_of(Catalyst))})
@dataclass(frozen=True, slots=True, repr=False)
class Calendar(Shown):
    """Validated catalysts in order of announcement (untimed ones last), each id once.

    Raises
    ------
    CalendarError
        For a duplicated id or a `confounded_with` that names no catalyst of the calendar.
    """

    name: str
    catalysts: tuple[Catalyst, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for catalyst in self.catalysts:
            if catalyst.id in seen:
                raise CalendarError(
                    f"calendar {self.name!r}: duplicate id {catalyst.id!r}; each catalyst needs its own"
                )
            seen.add(catalyst.id)
        ordered = tuple(sorted(self.catalysts, key=_sort_ms))
        object.__setattr__(self, "catalysts", ordered)

    @classmethod
    def from_records(
        cls,
        records: Iterable[Mapping[str, Any]],
        name: str = "records",
        *,
        columns: Mapping[str, str] | None = None,
        extra_kinds: Collection[str] = (),
        zone: tzinfo | None = None,
    ) -> Calendar:
        """Calendar of dicts with the keys of a catalyst; omitted keys get cautious defaults (`catalysts.rows`).

        Parameters
        ----------
        records : iterable of mappings
            At least `assets`, `kind` and `announced_at` each; a blank, NaN or NaT is the same as a key left out.
        columns : mapping of key to the name it has in the records, optional
        extra_kinds : kinds of your own
        zone : zone of times that carry none; they are refused where it is not given

        Raises
        ------
        CalendarError
            With the first fault, and how many more there are.
        """
        listed = [dict(one) for one in records]
        mapping = dict(columns or {})
        check_columns(f"calendar {name!r}", list(dict.fromkeys(key for one in listed for key in one)), mapping, KEYS)
        rows = [keys_of(one, KEYS, mapping, {"source": name}, zone) for one in listed]
        if not rows:
            raise CalendarError(f"calendar {name!r} has no row: give at least one catalyst")
        name_rows(rows)
        labelled = [(f"row {number}", row) for number, row in enumerate(rows)]
        return read_rows(labelled, extra_kinds).calendar(name, f"calendar {name!r}")

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        name: str = "frame",
        *,
        columns: Mapping[str, str] | None = None,
        extra_kinds: Collection[str] = (),
        zone: tzinfo | None = None,
    ) -> Calendar:
        """Calendar of a DataFrame, one row per catalyst; see `from_records`."""
        records = frame.to_dict("records")
        return cls.from_records(records, name, columns=columns, extra_kinds=extra_kinds, zone=zone)  # type: ignore[arg-type]

    def to_frame(self) -> pd.DataFrame:
        """One row per catalyst in order of announcement, one column per key; `from_frame` reads it back."""
        import pandas as pd

        return pd.DataFrame([{key: getattr(one, key) for key in KEYS} for one in self], columns=list(KEYS))

    def __len__(self) -> int:
        return len(self.catalysts)

    def __iter__(self) -> Iterator[Catalyst]:
        return iter(self.catalysts)

    def __getitem__(self, identifier: str) -> Catalyst:
        for catalyst in self.catalysts:
            if catalyst.id == identifier:
                return catalyst
        raise UsageError(
            f"calendar {self.name!r} has no catalyst {identifier!r}; "
            f"{near_miss(identifier, (catalyst.id for catalyst in self.catalysts))}"
        )

    def filter(
        self,
        *,
        assets: Collection[str] = (),
        kinds: Collection[str] = (),
        actors: Collection[str] = (),
        confidences: Collection[str] = (),
        directions: Collection[int] = (),
        timed: bool | None = None,
        endogenous: bool | None = None,
        timerange: TimeRange | None = None,
    ) -> Calendar:
        """Catalysts that match every filter given; an empty filter matches all.

        `timerange` keeps announcements in [start, end) and drops untimed ones.
        """

        def matches(one: Catalyst) -> bool:
            return (
                (not assets or not set(assets).isdisjoint(one.assets))
                and (not kinds or one.kind in kinds)
                and (not actors or one.actor in actors)
                and (not confidences or one.confidence in confidences)
                and (not directions or one.direction in directions)
                and (timed is None or one.timed == timed)
                and (endogenous is None or one.endogenous == endogenous)
                and (timerange is None or _inside(one, timerange))
            )

        return Calendar(self.name, tuple(one for one in self.catalysts if matches(one)))

    def check_names(
        self, *, assets: Collection[str] = (), kinds: Collection[str] = (), actors: Collection[str] = ()
    ) -> None:
        """Refuse by `UsageError` a coin, kind or actor that no catalyst has."""
        for key, wanted, held in (
            ("assets", assets, {asset for one in self.catalysts for asset in one.assets}),
            ("kinds", kinds, {one.kind for one in self.catalysts}),
            ("actors", actors, {one.actor for one in self.catalysts}),
        ):
            for name in wanted:
                if name not in held:
                    raise UsageError(f"{key}: calendar {self.name!r} has no {name!r}; {near_miss(name, held)}")

    def confounded(self, identifier: str) -> tuple[str, ...]:
        """Ids linked to one catalyst by `confounded_with` on either side, in calendar order."""
        own = self[identifier].confounded_with
        return tuple(one.id for one in self.catalysts if one.id in own or identifier in one.confounded_with)

    @property
    def undirected(self) -> str:
        """A sentence if no timed catalyst has an expected sign; otherwise empty."""
        timed = [one for one in self if one.timed]
        if not timed or any(one.direction for one in timed):
            return ""
        told = "its timed catalyst has" if len(timed) == 1 else f"all of its {len(timed)} timed catalysts have"
        return f"{told} direction 0, for none is said: say 1 or -1, which strategies that trade the expected sign need"

    def tested(self, *, endogenous: bool = False) -> Calendar:
        """The calendar that is traded and tested: without moves of the price itself, unless they are `endogenous`."""
        return self if endogenous or not self.left_out else self.filter(endogenous=False)

    @property
    def left_out(self) -> str:
        """A sentence that says which catalysts inference leaves out by default, and their share; empty for none."""
        moves = [one.id for one in self.catalysts if one.endogenous]
        if not moves:
            return ""
        return (
            f"{len(moves)} of {len(self)} catalysts ({len(moves) / len(self):.0%}) are moves of the price itself and "
            f"left out (`endogenous` takes them in): {', '.join(moves)}"
        )

    def _line(self) -> str:
        untimed = sum(not one.timed for one in self.catalysts)
        told = f", {untimed} of them untimed and never tradable" if untimed else ""
        return f"{self.name}: {plural(len(self), 'catalyst', 'catalysts')}{told}"

    def _view(self) -> View:
        columns = ("id", "announced (UTC)", "kind", "coins", "direction", "confidence")
        rows = [
            (one.id, one.when, one.kind, ", ".join(one.assets), f"{one.direction:+d}", one.confidence) for one in self
        ]
        return View(columns, rows)

    def hash(self) -> str:
        """First 16 hex digits of the sha256 over the contents of all catalysts."""
        # Loads OpenSSL, which who only lists catalysts does not need.
        import hashlib

        rows = [one.said() for one in self.catalysts]
        return hashlib.sha256(json.dumps(rows, default=str, sort_keys=True).encode()).hexdigest()[:16]


def _sort_ms(catalyst: Catalyst) -> float:
    return to_ms(catalyst.announced_at) if catalyst.announced_at is not None else float("inf")


def _inside(catalyst: Catalyst, timerange: TimeRange) -> bool:
    moment = _sort_ms(catalyst)
    after = timerange.start_ms is None or moment >= timerange.start_ms
    return after and moment < (timerange.end_ms if timerange.end_ms is not None else float("inf"))


@dataclass(frozen=True, slots=True)
class RowsRead:
    """Result of reading rows: the usable catalysts, and one sentence per fault of the others, in order."""

    catalysts: tuple[Catalyst, ...]
    faults: tuple[str, ...]

    def calendar(self, name: str, where: str) -> Calendar:
        """The calendar if no row has a fault; otherwise `CalendarError` with the first fault and how many more."""
        if self.faults:
            more = f" (and {plural(len(self.faults) - 1, 'more fault', 'more faults')})" if len(self.faults) > 1 else ""
            raise CalendarError(f"{where}: {self.faults[0]}{more}")
        return Calendar(name, self.catalysts)


def read_rows(
    rows: Iterable[tuple[str, Any]], extra_kinds: Collection[str] = (), *, by_label: bool = False
) -> RowsRead:
    """Catalysts of (label, keys) rows, and every fault of every row; the label names a row without an id.

    With `by_label` it names every row: generated ids mean nothing to whoever has to correct the rows.
    """
    kinds = KINDS | set(extra_kinds)
    validator = validator_of(Catalyst)
    catalysts: list[Catalyst] = []
    faults: list[str] = []
    seen: set[str] = set()
    named: list[tuple[str, Any]] = []
    for label, row in rows:
        if not isinstance(row, dict):
            faults.append(f"catalyst {shortened(row)} is not a table: write [[catalyst]] and its keys below")
            continue
        who = label if by_label or "id" not in row else f"catalyst {shortened(row['id'])}"
        named.append((who, row))
        kind = row.get("kind")
        if isinstance(kind, str) and re.fullmatch(KIND, kind) and kind not in kinds:
            faults.append(f"{who}: kind = {kind!r} is unknown; {near_miss(kind, kinds)}; or declare it in extra_kinds")
        try:
            one = validator.validate_python(row)
        except ValidationError as error:
            faults += [f"{who}: {told}" for told in complaints(error, KEYS)]
            continue
        if one.id in seen:
            faults.append(f"duplicate id {one.id!r}; each catalyst needs its own")
        seen.add(one.id)
        catalysts.append(one)
    ids = {str(row["id"]) for _, row in named if "id" in row}
    for one in catalysts:
        for other in one.confounded_with:
            if other not in ids or other == one.id:
                faults.append(
                    f"catalyst {one.id!r} is confounded_with {shortened(other)}, which is not another catalyst of this "
                    f"calendar; {near_miss(other, ids - {one.id})}"
                )
    return RowsRead(tuple(catalysts), tuple(faults))
