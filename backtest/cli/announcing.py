"""What a command will take, on stderr before it begins; what cannot fit into memory is refused with the way out."""

from __future__ import annotations

import typer

from backtest.base.errors import UsageError
from backtest.base.estimate import LONG_BARS, SECONDS_TOLD, SHARE_TOLD, Estimate, Workload, estimate, slowness

_WAYS = {
    "study": "choose a shorter `timerange`, a coarser `timeframe` or fewer `draws`",
    "audit": "choose a shorter `timerange`, a coarser `timeframe` or fewer coins",
}


def announce(verb: str, work: Workload, *also: Estimate) -> Estimate:
    """Say how long a verb takes and how much memory, if it is over ten seconds or a quarter of the memory.

    `also` is what else the command does. A study or an audit that needs more memory than there is raises `UsageError`;
    bars that cannot be prepared are refused by the engine.
    """
    from backtest.engine.room import machine_bytes

    there = machine_bytes()
    told = sum(also, start=estimate(verb, work))
    large = there is not None and told.bytes > SHARE_TOLD * there
    if told.seconds < SECONDS_TOLD / 4 and not large:
        # Too little for any machine to be worth measuring it.
        return told
    told = Estimate(told.seconds * slowness(), told.bytes)
    size = f"{work.bars:,} bars x {work.coins:,} coins, {work.catalysts:,} catalyst{'s' * (work.catalysts != 1)}"
    if verb in _WAYS and there is not None and told.bytes > there:
        raise UsageError(
            f"{verb} of {size} needs about {told.bytes / 1e9:.1f} GB, and {there / 1e9:.1f} GB are all that this "
            f"process may have: {_WAYS[verb]}"
        )
    if told.seconds > SECONDS_TOLD or large:
        typer.echo(f"{verb}: {told.text}, for {size}{_method(verb, work)}", err=True)
    return told


def _method(verb: str, work: Workload) -> str:
    """Which method fits a large run, where another is used for smaller ones."""
    if verb != "run" or work.bars < LONG_BARS or not work.bootstrap:
        return ""
    return "; intervals from sums over blocks, if these have 64 bars or more"
