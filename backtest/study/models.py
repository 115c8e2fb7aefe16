"""Expected-return models: what each event's asset would have returned without its event.

Notation of MacKinlay (1997), Journal of Economic Literature 35(1), 13-39: events i = 1..K, relative bars t,
an estimation window of E bars, a gap, an event window of W bars, M benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError, near_miss
from backtest.market.record import Flags, Floats

Ints = npt.NDArray[np.int64]
Convention = Literal["textbook", "estudy2"]

# A benchmark's scatter this close to singular is the others' combination up to rounding.
COLLINEAR = 1e-10
# A residual scatter this small against the returns' own is rounding, not news.
EXACT_FIT = 1e-12
# A variance this small against the square of its mean is rounding.
ROUNDING = 1e-24


class Rejection(StrEnum):
    """Why an event was left out; the value is the sentence to show."""

    SHORT_ESTIMATION = "too few usable bars in the estimation window"
    COLLINEAR_BENCHMARKS = "the benchmarks do not vary independently in the estimation window"
    NO_VARIANCE = "the residuals of the estimation window do not vary"
    NO_EVENT_RETURN = "no return in the event window"


@dataclass(frozen=True, slots=True)
class Windows:
    """Relative time of a study: `estimation` bars, then `gap` bars, then event bars `first` to `last` inclusive.

    Bar 0 is the event's own; `first` is negative where the event window starts before it. An impossible
    combination raises `UsageError`.
    """

    estimation: int
    gap: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.estimation < 1 or self.gap < 0 or self.last < self.first:
            raise UsageError(
                f"windows of estimation {self.estimation}, gap {self.gap}, first {self.first}, last {self.last} "
                "are impossible: estimation must be positive, gap not negative, last not before first"
            )

    @property
    def width(self) -> int:
        """W, bars of the event window."""
        return self.last - self.first + 1

    @property
    def length(self) -> int:
        """L, bars of all three windows."""
        return self.estimation + self.gap + self.width

    @property
    def bars(self) -> Ints:
        """(W,) relative bars of the event window."""
        return np.arange(self.first, self.last + 1, dtype=np.int64)

    @property
    def start(self) -> int:
        """Relative bar of the first estimation bar: where the caller's slice of returns begins."""
        return self.first - self.gap - self.estimation


@dataclass(frozen=True, slots=True, eq=False)
class AbnormalReturns:
    """What a model leaves unexplained, one row per event; arrays are read-only.

    Rows of rejected events stay, so that rows match the caller's events, and hold NaN everywhere
    but in the counts.

    Attributes
    ----------
    windows : Windows
    convention : "textbook" or "estudy2"
        How `sigma` and `leverage` were made; the test statistics follow it.
    onset : (K,) int64
        Calendar bar of each event's bar 0; events with equal onset share their dates.
    abnormal : (K, W) float64
        AR_it over the event window, in the unit of the returns given; NaN where a return is missing.
    residual : (K, E) float64
        Residuals of the estimation window; NaN where a return is missing.
    alpha : (K,) float64
    beta : (K, M) float64
        Coefficients, one a benchmark; M = 0 for the mean-adjusted model.
    sigma : (K,) float64
        Residual standard deviation: divisor `degrees` (textbook) or `usable` - 1 (estudy2).
    usable : (K,) int64
        Estimation bars on which asset and benchmarks are all known.
    degrees : (K,) int64
        Residual degrees of freedom, `usable` less the parameters estimated; 0 for rejected events.
    leverage : (K, W, P) float64
        h_it such that AR_it has forecast-error variance sigma_i^2 (1 + h_it'h_it) and a pair of bars the covariance
        sigma_i^2 h_is'h_it; h'h = x'(X'X)^-1 x. P is the number of parameters estimated.
    kept : (K,) bool
    reasons : tuple of K Rejection or None
        Why an event was rejected; None where it was kept.
    """

    windows: Windows
    convention: Convention
    onset: Ints
    abnormal: Floats
    residual: Floats
    alpha: Floats
    beta: Floats
    sigma: Floats
    usable: Ints
    degrees: Ints
    leverage: Floats
    kept: Flags
    reasons: tuple[Rejection | None, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if isinstance(values, np.ndarray):
                values.flags.writeable = False

    @property
    def correction(self) -> Floats:
        """(K, W) forecast-error correction 1 + x'(X'X)^-1 x; Patell (1976)."""
        correction: Floats = 1.0 + np.square(self.leverage).sum(axis=-1)
        return correction


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """What a model estimated: coefficients, how uncertain they leave the event window, and where it could not."""

    alpha: Floats
    beta: Floats
    leverage: Floats
    parameters: int
    singular: Flags


def market_model(
    asset: Floats,
    benchmarks: Floats,
    windows: Windows,
    onset: Ints,
    *,
    minimum: int = 30,
    convention: Convention = "textbook",
) -> AbnormalReturns:
    """OLS on the benchmarks: AR_it = R_it - alpha_i - beta_i'R_mt, fitted over the estimation window.

    Source: Fama, Fisher, Jensen and Roll (1969), International Economic Review 10(1), 1-21; with several
    benchmarks the correction is the multivariate 1 + 1/n + (x - x_bar)'S^-1(x - x_bar).

    Parameters
    ----------
    asset : (K, L) returns, log or simple; NaN is missing
    benchmarks : (K, L, M) returns of the benchmarks over the same bars; NaN is missing
    windows : Windows, L = windows.length
    onset : (K,) calendar bar of each event's bar 0, on one grid for all events
    minimum : fewest usable estimation bars, at least M + 4 so that Patell's variance exists
    convention : "estudy2" divides by n - 1 for sigma and takes x_bar and S over every estimation bar of the
        benchmarks, also where the asset has no return

    Raises
    ------
    UsageError
        For shapes that do not fit, an infinite return, an unknown convention or a `minimum` that is too small.
    """
    asset, benchmarks, onset = _checked(asset, benchmarks, windows, onset)
    return _fitted(asset, benchmarks, windows, onset, minimum, convention)


def mean_adjusted(
    asset: Floats, windows: Windows, onset: Ints, *, minimum: int = 30, convention: Convention = "textbook"
) -> AbnormalReturns:
    """Constant mean: AR_it = R_it - mean of R_i over the estimation window; parameters as in `market_model`.

    Source: Brown and Warner (1980), Journal of Financial Economics 8(3), 205-258,
    doi:10.1016/0304-405X(80)90002-1.
    """
    asset, benchmarks, onset = _checked(asset, np.empty((*np.shape(asset), 0)), windows, onset)
    return _fitted(asset, benchmarks, windows, onset, minimum, convention)


def market_adjusted(
    asset: Floats,
    benchmarks: Floats,
    windows: Windows,
    onset: Ints,
    *,
    minimum: int = 30,
    convention: Convention = "textbook",
) -> AbnormalReturns:
    """Benchmark taken off as it is: AR_it = R_it - mean of the M benchmarks; parameters as in `market_model`.

    Nothing is estimated but the residuals' spread around their own mean, so alpha is 0, beta 1/M, P = 0 and the
    correction 1. Source: Brown and Warner (1980), doi:10.1016/0304-405X(80)90002-1.
    """
    asset, benchmarks, onset = _checked(asset, benchmarks, windows, onset)
    events, _, count = benchmarks.shape
    if count == 0:
        raise UsageError("benchmarks has no column, but market_adjusted takes one off: give at least one")
    fit = _Fit(
        alpha=np.zeros(events),
        beta=np.full((events, count), 1.0 / count),
        leverage=np.empty((events, windows.width, 0)),
        parameters=1,
        singular=np.zeros(events, dtype=bool),
    )
    return _record(asset, asset - benchmarks.mean(axis=2), fit, windows, onset, minimum, convention)


def seasonal_mean(
    asset: Floats, season: Ints, seasons: int, windows: Windows, onset: Ints, *, minimum: int = 30
) -> AbnormalReturns:
    """A mean for each of S seasons: `market_model` on S - 1 dummies and its leverage, solved in closed form.

    The mean of season s over its n_s usable estimation bars is exact OLS; bars of one season share the covariance
    sigma^2 / n_s and bars of two share none, so h_it holds 1 / sqrt(n_s) in column s. The determinant of the dummies'
    correlations, by which a season without bars is rejected, is p_0 / prod_(s > 0) (1 - p_s), p_s = n_s / n.

    Parameters
    ----------
    season : (K, L) from 0 to `seasons` - 1, of each bar
    """
    asset, _, onset = _checked(asset, np.empty((*np.shape(asset), 0)), windows, onset)
    events, before = len(asset), season[:, : windows.estimation]
    complete = ~np.isnan(asset[:, : windows.estimation])
    cell = (np.arange(events)[:, None] * seasons + before)[complete]
    size = events * seasons
    number = np.bincount(cell, minlength=size).reshape(events, seasons)
    total = np.bincount(cell, asset[:, : windows.estimation][complete], size).reshape(events, seasons)
    mean = total / np.maximum(number, 1)
    share = number / np.maximum(number.sum(axis=1, keepdims=True), 1)
    lone = (number[:, 1:] == 0) | (share[:, 1:] == 1.0)
    spread = np.where(lone.any(axis=1), 1.0, np.prod(1.0 - share[:, 1:], axis=1))
    singular = lone.any(axis=1) | (share[:, 0] / spread < COLLINEAR)
    abnormal = asset - np.take_along_axis(mean, season, axis=1)
    event = season[:, windows.estimation + windows.gap :]
    leverage = (event[:, :, None] == np.arange(seasons)) / np.sqrt(np.maximum(number, 1))[:, None, :]
    fit = _Fit(
        alpha=mean[:, 0].copy(),
        beta=mean[:, 1:] - mean[:, :1],
        leverage=leverage,
        parameters=seasons,
        singular=singular,
    )
    return _record(asset, abnormal, fit, windows, onset, minimum, "textbook")


def _checked(asset: Floats, benchmarks: Floats, windows: Windows, onset: Ints) -> tuple[Floats, Floats, Ints]:
    asset = np.asarray(asset, dtype=np.float64)
    benchmarks = np.asarray(benchmarks, dtype=np.float64)
    onset = np.array(onset, dtype=np.int64)
    if asset.ndim != 2 or asset.shape[1] != windows.length:
        raise UsageError(f"asset has shape {asset.shape}, but the windows ask for (events, {windows.length})")
    if benchmarks.ndim != 3 or benchmarks.shape[:2] != asset.shape:
        raise UsageError(f"benchmarks has shape {benchmarks.shape}, but asset asks for {(*asset.shape, 'M')}")
    if onset.shape != asset.shape[:1]:
        raise UsageError(f"onset has shape {onset.shape}, but asset asks for {asset.shape[:1]}")
    for name, values in (("asset", asset), ("benchmarks", benchmarks)):
        if np.isinf(values).any():
            raise UsageError(f"{name} holds an infinite return: give NaN where a price is missing or zero")
    return asset, benchmarks, onset


def _fitted(
    asset: Floats, benchmarks: Floats, windows: Windows, onset: Ints, minimum: int, convention: Convention
) -> AbnormalReturns:
    events, _, count = benchmarks.shape
    regressors = benchmarks[:, : windows.estimation]
    known = np.isnan(regressors).sum(axis=2) == 0
    complete = known & ~np.isnan(asset[:, : windows.estimation])
    usable = complete.sum(axis=1)
    mean_x, spread_x = _centred(regressors, complete)
    mean_y, spread_y = _centred(asset[:, : windows.estimation, None], complete)
    scatter = np.einsum("kem,ken->kmn", spread_x, spread_x)
    singular = _singular(scatter, _squares(regressors, complete))
    safe = np.where(singular[:, None, None], np.eye(count), scatter)
    beta = np.linalg.solve(safe, np.einsum("kem,ken->kmn", spread_x, spread_y))[:, :, 0].astype(np.float64)
    alpha = mean_y[:, 0] - (mean_x * beta).sum(axis=1)
    abnormal = asset - alpha[:, None] - np.einsum("klm,km->kl", benchmarks, beta)

    centre = mean_x
    if convention == "estudy2":
        centre, spread_x = _centred(regressors, known)
        scatter = np.einsum("kem,ken->kmn", spread_x, spread_x)
        safe = np.where(singular[:, None, None], np.eye(count), scatter)
    event_x = benchmarks[:, windows.estimation + windows.gap :] - centre[:, None, :]
    whitened = np.linalg.solve(np.linalg.cholesky(safe), np.swapaxes(event_x, 1, 2))
    constant = np.broadcast_to(1.0 / np.sqrt(np.maximum(usable, 1))[:, None, None], (events, windows.width, 1))
    leverage = np.concatenate((constant, np.swapaxes(whitened, 1, 2)), axis=2)
    fit = _Fit(alpha=alpha, beta=beta, leverage=leverage, parameters=count + 1, singular=singular)
    return _record(asset, abnormal, fit, windows, onset, minimum, convention)


def _centred(values: Floats, rows: Flags) -> tuple[Floats, Floats]:
    """(K, M) mean over `rows` and (K, E, M) deviations from it, zero outside `rows`."""
    inside = np.where(rows[:, :, None], values, 0.0)
    mean = inside.sum(axis=1) / np.maximum(rows.sum(axis=1), 1)[:, None]
    return mean, np.where(rows[:, :, None], inside - mean[:, None, :], 0.0)


def _squares(values: Floats, rows: Flags) -> Floats:
    """(K, M) sums of squares of (K, E, M) values over `rows`."""
    squares: Floats = np.square(np.where(rows[:, :, None], values, 0.0)).sum(axis=1)
    return squares


def _singular(scatter: Floats, squares: Floats) -> Flags:
    """(K,) whether a benchmark does not vary, or their correlation matrix has (nearly) no determinant."""
    scale = np.diagonal(scatter, axis1=1, axis2=2)
    # A constant differs from its mean by rounding.
    still = scale <= ROUNDING * squares
    flat = still.any(axis=1)
    scale = np.sqrt(np.where(still, 1.0, scale))
    singular: Flags = flat | (np.linalg.det(scatter / (scale[:, :, None] * scale[:, None, :])) < COLLINEAR)
    return singular


def _record(
    asset: Floats,
    abnormal: Floats,
    fit: _Fit,
    windows: Windows,
    onset: Ints,
    minimum: int,
    convention: Convention,
) -> AbnormalReturns:
    """Assemble the record, and reject what cannot be tested."""
    if convention not in get_args(Convention):
        raise UsageError(f"convention {convention!r} is unknown; {near_miss(convention, get_args(Convention))}")
    if minimum < fit.parameters + 3:
        raise UsageError(
            f"minimum is {minimum}, but a model of {fit.parameters} parameters needs at least {fit.parameters + 3} "
            "estimation bars for Patell's variance: raise it"
        )
    residual = abnormal[:, : windows.estimation].copy()
    event = abnormal[:, windows.estimation + windows.gap :].copy()
    known = ~np.isnan(residual)
    usable = known.sum(axis=1)
    degrees = usable - fit.parameters
    divisor = np.maximum(degrees if convention == "textbook" else usable - 1, 1)
    _, spread = _centred(residual[:, :, None], known)
    _, own = _centred(asset[:, : windows.estimation, None], known)
    scatter = np.square(spread).sum(axis=(1, 2))
    # A constant differs from its mean by rounding.
    rounding = ROUNDING * np.where(known, np.square(asset[:, : windows.estimation]), 0.0).sum(axis=1)
    sigma = np.sqrt(scatter / divisor)

    reasons = np.full(len(asset), None, dtype=object)
    for reason, failed in (
        (Rejection.NO_EVENT_RETURN, np.isnan(event).all(axis=1)),
        (Rejection.NO_VARIANCE, scatter <= np.maximum(EXACT_FIT * np.square(own).sum(axis=(1, 2)), rounding)),
        (Rejection.COLLINEAR_BENCHMARKS, fit.singular),
        (Rejection.SHORT_ESTIMATION, usable < minimum),
    ):
        reasons[failed] = reason
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    for values in (event, residual, sigma, fit.alpha, fit.beta, fit.leverage):
        values[~kept] = np.nan
    return AbnormalReturns(
        windows=windows,
        convention=convention,
        onset=onset,
        abnormal=event,
        residual=residual,
        alpha=fit.alpha,
        beta=fit.beta,
        sigma=sigma,
        usable=usable.astype(np.int64),
        degrees=np.where(kept, degrees, 0).astype(np.int64),
        leverage=fit.leverage,
        kept=kept,
        reasons=tuple(reasons.tolist()),
    )
