"""The requests of a download, without making any: from the rules of the venue, the store, and the local clock."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.base.units import DAY_MS, UNIT_MS
from backtest.market.align import LONGEST_CADENCE_MS
from backtest.market.archive_download import ArchiveDownloader
from backtest.market.ccxt_source import Listed, Venue
from backtest.market.download import Downloader, nothing_of, task_of
from backtest.market.paging import grid_windows
from backtest.market.record import Instrument
from backtest.market.rows import Key
from backtest.market.spans import Span, total_ms
from backtest.market.venue_instruments import told_today
from backtest.market.venue_ratios import ratio_columns

# Time for one answer if the rate limit of a venue allows more.
ANSWER_SECONDS = 0.3
SHORTEST_CADENCE_MS = UNIT_MS["h"]


@dataclass(frozen=True, slots=True)
class PlannedSeries:
    """One series of a plan: time that would be requested, and the least and greatest number of requests if none fails.

    They differ for funding, whose cadence (1 to 8 hours) is known only from the answers, and for the archive, where a
    month may be one file or daily files. `note` is what the venue does not serve of it.
    """

    key: Key
    asked_ms: int
    least: int
    most: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """Plan of a download: its series, what is refused and why, and `extra` requests for lists, clocks and rules.

    `seconds_each` is the shortest time between two requests.
    """

    series: tuple[PlannedSeries, ...]
    refused: tuple[str, ...]
    extra: int
    seconds_each: float

    @property
    def requests(self) -> tuple[int, int]:
        """Least and greatest number of requests in total; 0 if the store has everything."""
        least, most = sum(one.least for one in self.series), sum(one.most for one in self.series)
        return least + self.extra, most + self.extra

    @property
    def minutes(self) -> tuple[float, float]:
        """The shortest time that takes, seconds."""
        least, most = self.requests
        return least * self.seconds_each / 60, most * self.seconds_each / 60


def plan_download(downloader: Downloader) -> DownloadPlan:
    """Plan of a download through ccxt, as if every instrument had been listed when its time range begins."""
    recipe, choice = downloader.recipe, downloader.recipe.exchange
    venue = Venue(choice.id, choice.options, downloader.stop, downloader.patience, insecure=downloader.insecure)
    now, (start, end) = downloader.clock(), recipe.span
    planned: list[PlannedSeries] = []
    refused: list[str] = []
    for instrument in map(Instrument.parse, recipe.symbols):
        for series in recipe.series:
            if series != "ohlcv" and instrument.kind == "spot":
                continue
            why = venue.refusal(series, instrument.kind, recipe.timeframe, now if end is None else end, now)
            if why:
                refused.append(why)
                continue
            listed = Listed(instrument, 1.0, None, True)
            task = task_of(venue, series, listed, recipe.timeframe, start or 0, end, now)
            todo = downloader.todo(venue, task)
            limit = venue.limit(series, instrument)
            if series != "funding":
                asked = len(ratio_columns(venue.identifier)) if series == "ratios" else 1
                least = most = asked * sum(len(grid_windows(span, task.step_ms, limit)) for span in todo)
            elif venue.rules.funding_paging == "whole":
                least = most = len(todo)
            elif venue.rules.funding_paging == "pages":
                rows = venue.rules.funding_rows
                least, most = (
                    sum(-(-(now - span[0]) // (cadence * rows)) for span in todo)
                    for cadence in (LONGEST_CADENCE_MS, SHORTEST_CADENCE_MS)
                )
            else:
                least, most = (
                    sum(_settlement_windows(span, limit, cadence) for span in todo)
                    for cadence in (LONGEST_CADENCE_MS, SHORTEST_CADENCE_MS)
                )
            planned.append(PlannedSeries(task.key, total_ms(todo), least, most, task.shortfall))
    each = max(venue.gate.unit_seconds, ANSWER_SECONDS / max(min(downloader.workers, len(planned)), 1))
    if not planned and not refused:
        refused.append(nothing_of(recipe))
    extra = 1 + bool(venue.exchange.has.get("fetchTime")) if planned else 0
    if planned and downloader.instruments and venue.rules.tiers_in_money:
        fresh = told_today(downloader.store.root, venue.identifier, now)
        extra += len({one.key.symbol for one in planned if ":" in one.key.symbol} - fresh)
    return DownloadPlan(tuple(planned), tuple(dict.fromkeys(refused)), extra, each)


def plan_archive(downloader: ArchiveDownloader) -> DownloadPlan:
    """Plan of a download from Binance's archive: each file and its CHECKSUM is a request."""
    planned = []
    for key in downloader.wanted_keys():
        spans, least, most = downloader.pieces(key)
        planned.append(PlannedSeries(key, total_ms(spans), 2 * least, 2 * most))
    return DownloadPlan(tuple(planned), (), 0, ANSWER_SECONDS / max(min(downloader.workers, len(planned)), 1))


def _settlement_windows(span: Span, limit: int, cadence_ms: int) -> int:
    """Number of requests of `fetch_settlements` at a given cadence, its widening and halving included."""
    count, start = 0, span[0]
    step = widest = max(limit - 2, 1) * LONGEST_CADENCE_MS
    while start < span[1]:
        end = min(start + step, span[1])
        count += 1
        if (end - start + 2 * DAY_MS) // cadence_ms >= limit and end - start > LONGEST_CADENCE_MS:
            step = widest = max(step // 2, LONGEST_CADENCE_MS)
            continue
        start, step = end, min(step * 2, widest)
    return count


def plan_lines(plan: DownloadPlan) -> list[str]:
    """The total of a plan in words."""
    (least, most), (shortest, longest) = plan.requests, plan.minutes
    if not any(one.most for one in plan.series):
        return ["nothing to ask for: the store has all of it"] if plan.series else []
    counts = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    minutes = f"{longest:.1f}" if f"{shortest:.1f}" == f"{longest:.1f}" else f"{shortest:.1f} to {longest:.1f}"
    return [f"{counts} requests, {minutes} minutes at least at {plan.seconds_each:.2g} s a request; none was made"]
