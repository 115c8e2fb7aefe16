"""What the ledger keeps: trials, registrations, and the scope that says which trials looked at the same catalysts."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.base.units import DAY_MS, to_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Market

Singles = npt.NDArray[np.float32]
SHORT = 16


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are null."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest(value: Any) -> str:
    """First 16 hex digits of the sha256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:SHORT]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a trial covers: bars in [start_ms, end_ms) of `coins`, and the catalysts in them as (coin, UTC day).

    Neither the name of the data or the calendar nor a venue is part of it: the same catalysts are the same.
    """

    start_ms: int
    end_ms: int
    coins: frozenset[str]
    events: frozenset[tuple[str, int]]

    @classmethod
    def of(cls, market: Market, calendar: Calendar) -> Scope:
        """Scope of a market and a calendar: its catalysts that have a day inside the bars and a coin in the market."""
        coins = frozenset(one.base for one in market.instruments)
        events = {
            (coin, to_ms(one.announced_at) // DAY_MS)
            for one in calendar
            if one.announced_at is not None and market.start_ms <= to_ms(one.announced_at) < market.end_ms
            for coin in one.assets
            if coin in coins
        }
        return cls(market.start_ms, market.end_ms, coins, frozenset(events))

    def overlaps(self, other: Scope) -> bool:
        """Whether both hold the same catalyst; if either has none, whether they share a coin at the same time."""
        if self.events and other.events:
            return not self.events.isdisjoint(other.events)
        shared = max(self.start_ms, other.start_ms) < min(self.end_ms, other.end_ms)
        return shared and not self.coins.isdisjoint(other.coins)

    def body(self) -> dict[str, Any]:
        """The scope as JSON; its catalysts packed, as there may be thousands."""
        packed = zlib.compress(canonical(sorted(self.events)).encode(), 9)
        return {
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "coins": sorted(self.coins),
            "events": b64encode(packed).decode(),
        }

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Scope:
        """The scope from its `body`."""
        events = json.loads(zlib.decompress(b64decode(body["events"])))
        return cls(
            int(body["start_ms"]),
            int(body["end_ms"]),
            frozenset(body["coins"]),
            frozenset((str(coin), int(day)) for coin, day in events),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrialRecord:
    """One trial: its request, its data, and its result.

    Attributes
    ----------
    strategy, source : str
        Name, and hash of the text of its module; empty where it has none.
    parameters : dict
        All of them, given and default.
    hashes : dict of str
        config, data, calendar and detail (finer bars; empty for none).
    data, calendar : str
        Names, for people.
    plan : dict or None
        Kind, draws, statistic and seed of the placebos; None where none were asked for.
    scope : Scope
    scores : dict of float
        By name; NaN where undefined.
    observed, p, command : float
        Statistic on the real calendar, its p alone, and p adjusted within the command; NaN where not tested.
    reason : str
        Why there is no p, where placebos were asked for.
    draws : (B,) float32
        Statistic of each placebo calendar, NaN where undefined; empty where not tested.
    common : str
        Which calendars these are: trials with the same text were moved by the same draws, one by one. Empty where not
        tested.
    asked : str
        Hash of the request of this one strategy, by which a registration is found; empty where built in Python.
    parent : str
        The search it is part of, such as `sweep 1f0c...`; empty for a single run.
    """

    strategy: str
    source: str
    parameters: dict[str, Any]
    hashes: dict[str, str]
    data: str
    calendar: str
    plan: dict[str, Any] | None
    scope: Scope
    scores: dict[str, float]
    observed: float = math.nan
    p: float = math.nan
    command: float = math.nan
    reason: str = ""
    draws: Singles = field(default_factory=lambda: np.empty(0, np.float32))
    common: str = ""
    asked: str = ""
    parent: str = ""

    @property
    def key(self) -> str:
        """Identity of a trial: it is kept once, however often and with whatever others it is run. Its result is
        included, so that a trial which another version computes differently is a separate trial.
        """
        drawn = hashlib.sha256(self.draws.tobytes()).hexdigest() if self.tested else ""
        return digest([self.what, self.plan, self.observed, drawn])

    @property
    def what(self) -> str:
        """Hash of what was replayed, independent of its placebos."""
        return digest([self.strategy, self.source, self.parameters, self.hashes])

    @property
    def tested(self) -> bool:
        """Whether it has null draws."""
        return len(self.draws) > 0

    def body(self) -> dict[str, Any]:
        """The trial as JSON, without its draws and scope, which are kept by their hashes."""
        return {
            "what": self.what,
            "strategy": self.strategy,
            "source": self.source,
            "parameters": self.parameters,
            "hashes": self.hashes,
            "data": self.data,
            "calendar": self.calendar,
            "plan": self.plan,
            "scores": self.scores,
            "observed": self.observed,
            "p": self.p,
            "command": self.command,
            "reason": self.reason,
            "n": len(self.draws),
            "common": self.common,
            "asked": self.asked,
            "parent": self.parent,
        }


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """A trial as stored in the ledger: its place, key, time of writing, and its body; draws are read separately."""

    seq: int
    key: str
    body: dict[str, Any]
    common: str
    scope: str

    @property
    def tested(self) -> bool:
        """Whether it has null draws."""
        return bool(self.common)

    @property
    def title(self) -> str:
        """`#12 catalyst_momentum`."""
        return f"#{self.seq} {self.body['strategy']}"


@dataclass(frozen=True, slots=True)
class Registration:
    """A hypothesis written down before its run: place, text, time, the hash of the future request, and the request."""

    seq: int
    hypothesis: str
    time: str
    strategy: str
    asked: str
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """The final decision on the new tested trials of one command: see `backtest.ledger.deciding`.

    Attributes
    ----------
    common, scope : str
        Their draws, and what they looked at.
    trials : tuple of int
        Their places.
    adjusted : tuple of float
        p of each, adjusted for everything up to then.
    paid : tuple of int
        How many trials each p was adjusted for.
    level : float
        What an adjusted p had to be at most.
    calendars : tuple of int
        Calendars that this decision used up, 0 being the real one; of `count`, the real one included.
    """

    common: str
    scope: str
    trials: tuple[int, ...]
    adjusted: tuple[float, ...]
    paid: tuple[int, ...]
    level: float
    calendars: tuple[int, ...]
    count: int

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Decision:
        """The decision as stored in the ledger."""
        lists = {name: tuple(body[name]) for name in ("trials", "adjusted", "paid", "calendars")}
        return cls(body["common"], body["scope"], level=body["level"], count=body["count"], **lists)
