"""Figures that an article prints, each checked against a market."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from backtest.base.arguments import checked
from backtest.base.documents import datasets_root, first_complaint, read_toml, user_path, worded
from backtest.base.errors import DataError, UsageError, near_miss, shortened
from backtest.catalysts.expressions import measure, parse

if TYPE_CHECKING:
    from backtest.market.auxiliary import AuxiliarySeries
    from backtest.market.record import Market

CONTRADICTION = 2.0
"""Where the measured value and the figure differ by more than the smaller of the two, a factor of 2, more of the figure
is error than is right: it is contradicted and not merely over- or understated."""
Sense = Literal["about", "at_least", "at_most"]
ClaimVerdict = Literal["confirmed", "overstated", "understated", "contradicted", "inconsistent", "not measurable"]
VERDICTS: tuple[ClaimVerdict, ...] = (
    "confirmed", "overstated", "understated", "contradicted", "inconsistent", "not measurable",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Reading:
    """Another reading of a claim's words: `name` describes it (`the 00:00 UTC snapshot`), `measure` computes it."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    measure: str

    @field_validator("measure")
    @classmethod
    def _expression(cls, text: str) -> str:
        try:
            parse(text)
        except DataError as problem:
            raise ValueError(str(problem)) from None
        return text


@worded("claim", DataError)
@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Claim:
    """One printed figure.

    Attributes
    ----------
    id, says : str
        Unique name, and the statement in own words.
    subject : str
        Coin or sector it is about.
    claimed : float
        The figure, in `unit`; a percentage is a share.
    unit : {share, times, USD, days, coins, count, seconds}
    tolerance : float
        Share of `claimed` within which a measured value confirms it.
    sense : {about, at_least, at_most}
        Whether the figure is a value or a bound.
    measure : str
        Expression over a market; see `backtest.catalysts.expressions`.
    reading : str
        How the words are read as that expression, where they leave a choice.
    readings : tuple of Reading
        Other ways to read them. A figure that its first reading does not confirm is confirmed as the first other one
        that does, and the reason says both.
    total : bool
        Whether it is a sum over all venues, of which a market of one venue holds a part.
    implied : str
        The same figure from others that the article prints: numbers and `days(...)` only; empty for none.
    implied_sense : {about, at_least, at_most}
        How the figure must stand to `implied`.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{2,80}$")]
    says: Annotated[str, Field(min_length=1, max_length=500)]
    subject: Annotated[str, Field(min_length=1, max_length=20)]
    claimed: Annotated[float, Field(allow_inf_nan=False)]
    unit: Literal["share", "times", "USD", "days", "coins", "count", "seconds"]
    measure: str
    readings: tuple[Reading, ...] = ()
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.05
    sense: Sense = "about"
    reading: str = ""
    total: bool = False
    implied: str = ""
    implied_sense: Sense = "about"

    @field_validator("measure", "implied")
    @classmethod
    def _expression(cls, text: str) -> str:
        if text:
            try:
                parse(text)
            except DataError as problem:
                raise ValueError(str(problem)) from None
        return text

    @field_validator("implied")
    @classmethod
    def _of_numbers(cls, text: str) -> str:
        if text:
            try:
                measure(text, None, {})
            except DataError as problem:
                raise ValueError(str(problem)) from None
        return text

    @field_validator("claimed")
    @classmethod
    def _not_zero(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a figure of 0 has no share to be off by: claim a bound instead")
        return value


@dataclass(frozen=True, slots=True)
class Check:
    """A claim against the data: `measured` is None where nothing could be measured, and `reason` says why."""

    claim: Claim
    verdict: ClaimVerdict
    measured: float | None
    window: str
    reason: str


@checked
def read_claims(path: Path | str) -> tuple[Claim, ...]:
    """Claims of a TOML file: `name`, `description`, `source`, and a `[[claim]]` table each.

    Raises
    ------
    DataError
        Naming the file, the claim and the key for anything unknown, missing, duplicated or malformed.
    """
    path = Path(path)
    table = read_toml(path, DataError, {"name", "description", "source", "claim"})
    rows = table.get("claim")
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path} holds no [[claim]] table: add at least one")
    claims = tuple(_claim(path, row) for row in rows)
    ids = [one.id for one in claims]
    for number, identifier in enumerate(ids):
        if identifier in ids[:number]:
            raise DataError(f"{path}: duplicate id {identifier!r}; each claim needs its own")
    return claims


def embedded_claims() -> tuple[str, ...]:
    """Names of the claims files shipped with the project."""
    return tuple(sorted(path.stem for path in (datasets_root() / "claims").glob("*.toml")))


@checked
def open_claims(name_or_path: str | Path) -> tuple[Claim, ...]:
    """Claims by a name in the project, or from a TOML file; anything else raises `UsageError`."""
    name_or_path = str(name_or_path)
    if name_or_path in embedded_claims():
        return read_claims(datasets_root() / "claims" / f"{name_or_path}.toml")
    path = user_path(name_or_path)
    if path.suffix == ".toml" or os.path.exists(path):
        return read_claims(path)
    raise UsageError(
        f"claims {shortened(name_or_path)} are neither a TOML file nor of this project; "
        f"{near_miss(name_or_path, embedded_claims())}"
    )


@checked
def check_claim(
    claim: Claim, market: Market, series: Mapping[str, AuxiliarySeries] | None = None, *, all_venues: bool = False
) -> Check:
    """Check a claim against a market.

    A figure that contradicts the article's other figures is `inconsistent`, whatever the data say; a total over all
    venues that one venue's part cannot settle is `not measurable`, as is a value read from a series that the market
    declares as reconstructed.

    Parameters
    ----------
    all_venues
        Whether the market's volumes and open interest stand for all venues together.
    """
    doubt = _inconsistency(claim)
    try:
        found = measure(claim.measure, market, series or {})
    except DataError as problem:
        return Check(claim, "inconsistent" if doubt else "not measurable", None, "", doubt or str(problem))
    said = verdict_of(claim, found.value)
    if doubt:
        return Check(claim, "inconsistent", found.value, found.window, doubt)
    if found.reconstructed:
        reason = f"{', '.join(found.reconstructed)} reconstructed in {market.provenance.name}: no evidence either way"
        return Check(claim, "not measurable", found.value, found.window, reason)
    settled = found.value >= claim.claimed * (1 + claim.tolerance * (1 if claim.sense == "at_most" else -1))
    if claim.total and not all_venues and not settled:
        reason = f"{market.provenance.name} is one venue, and the figure is of all of them: this is a part of it"
        return Check(claim, "not measurable", found.value, found.window, reason)
    if said != "confirmed":
        return _otherwise(claim, market, series or {}, Check(claim, said, found.value, found.window, claim.reading))
    return Check(claim, said, found.value, found.window, claim.reading)


def _otherwise(claim: Claim, market: Market, series: Mapping[str, AuxiliarySeries], first: Check) -> Check:
    """The check by the first other reading that confirms; if none does, the first reading's with the others' values."""
    told = []
    for other in claim.readings:
        try:
            found = measure(other.measure, market, series)
        except DataError as problem:
            told.append(f"as {other.name} not measurable: {problem}")
            continue
        if found.reconstructed:
            continue
        shown = f"{found.value:+.1%}" if claim.unit == "share" else f"{found.value:.5g}"
        if verdict_of(claim, found.value) == "confirmed":
            value = first.measured
            before = "" if value is None else f"{value:+.1%}" if claim.unit == "share" else f"{value:.5g}"
            reason = f"confirmed as {other.name}; as {claim.reading or 'first read'} it is {before}"
            return Check(claim, "confirmed", found.value, found.window, reason)
        told.append(f"as {other.name} it is {shown}")
    if not told:
        return first
    return replace(first, reason="; ".join((claim.reading or "as first read", *told)))


def verdict_of(claim: Claim, measured: float) -> ClaimVerdict:
    """Verdict of a measured value: its sign, then its size against tolerance, sense and `CONTRADICTION`."""
    ratio = measured / claim.claimed
    low = -float("inf") if claim.sense == "at_most" else 1.0 - claim.tolerance
    high = float("inf") if claim.sense == "at_least" else 1.0 + claim.tolerance
    if low <= ratio <= high:
        return "confirmed"
    if ratio < 1.0 / CONTRADICTION or ratio > CONTRADICTION:
        return "contradicted"
    return "overstated" if ratio < 1.0 else "understated"


def _inconsistency(claim: Claim) -> str:
    """Why the article's own figures contradict this one; empty if they agree or say nothing."""
    if not claim.implied:
        return ""
    implied = measure(claim.implied, None, {}).value
    if implied == 0:
        return f"the article's own figures make it 0: {claim.implied}"
    ratio = claim.claimed / implied
    low = -float("inf") if claim.implied_sense == "at_most" else 1.0 - claim.tolerance
    high = float("inf") if claim.implied_sense == "at_least" else 1.0 + claim.tolerance
    if low <= ratio <= high:
        return ""
    bound = {"about": "", "at_most": "at most ", "at_least": "at least "}[claim.implied_sense]
    return f"the article's own figures allow {bound}{implied:.4g}: {claim.implied}"


def _claim(path: Path, row: Any) -> Claim:
    if not isinstance(row, dict):
        raise DataError(f"{path}: claim {shortened(row)} is not a table: write [[claim]] and its keys below")
    try:
        return TypeAdapter(Claim).validate_python(row)
    except ValidationError as error:
        allowed = [one.name for one in fields(Claim)]
        raise DataError(f"{path}: claim {shortened(row.get('id', '?'))}: {first_complaint(error, allowed)}") from None
