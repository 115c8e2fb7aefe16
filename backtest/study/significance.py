"""The tests by name: which abnormal returns are more than luck.

| name | holds under event-induced variance | holds under cross-correlation |
|---|---|---|
| `kolari_pynnonen` (the headline) | yes | yes |
| `kolari_pynnonen_patell` | no | yes |
| `generalised_rank` | yes | yes, among events of one date |
| `brown_warner_1985`, `lamb`, `corrado_zivney_sign`, `corrado_rank`, `corrado_zivney_rank` | no | among one date |
| `cross_sectional_t`, `bmp`, `sign`, `generalised_sign`, `wilcoxon` | yes | no |
| `patell`, `brown_warner_1980` | no | no |

The `estudy2` convention of the models reproduces the R package estudy2 0.10.0 where it leaves the papers: sigma with
divisor n - 1, the forecast-error correction over every estimation bar of the benchmark, sums over the known events
scaled up to all (ranks and Corrado-Zivney signs), p of the generalised sign test pooled over events, and the mean
estimation length in Lamb's correction. p-values are of the textbook distributions in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType

from backtest.base.errors import UsageError, near_miss
from backtest.study.cumulation import Cumulated, StatisticOfTest
from backtest.study.nonparametric import (
    corrado_rank,
    corrado_zivney_rank,
    corrado_zivney_sign,
    generalised_rank,
    generalised_sign,
    sign,
    wilcoxon,
)
from backtest.study.parametric import (
    bmp,
    brown_warner_1980,
    brown_warner_1985,
    cross_sectional_t,
    kolari_pynnonen,
    kolari_pynnonen_patell,
    lamb,
    patell,
)

Test = Callable[[Cumulated], StatisticOfTest]

HEADLINE = "kolari_pynnonen"
TESTS: MappingProxyType[str, Test] = MappingProxyType(
    {
        test.__name__: test
        for test in (
            kolari_pynnonen,
            kolari_pynnonen_patell,
            bmp,
            patell,
            cross_sectional_t,
            brown_warner_1980,
            brown_warner_1985,
            lamb,
            generalised_rank,
            corrado_rank,
            corrado_zivney_rank,
            corrado_zivney_sign,
            generalised_sign,
            sign,
            wilcoxon,
        )
    }
)


def significance(cumulated: Cumulated, names: Iterable[str] = tuple(TESTS)) -> tuple[StatisticOfTest, ...]:
    """The named tests, in the order named, each over all spans; an unknown name raises `UsageError`."""
    chosen = tuple(names)
    for name in chosen:
        if name not in TESTS:
            raise UsageError(f"test {name!r} is unknown; {near_miss(name, TESTS)}")
    return tuple(TESTS[name](cumulated) for name in chosen)
