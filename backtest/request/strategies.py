"""Which strategy a name means: from the project, an installed package, the current folder, or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from backtest.base.errors import ConfigError, UsageError, near_miss, shortened
from backtest.signals.loading import finished, is_file_reference, load_strategy
from backtest.signals.strategy import Strategy
from backtest.strategies import REGISTRY

GROUP = "backtest.strategies"
"""Entry points of this group let an installed package offer strategies: `name = "package.module:Class"`."""
FOLDER = Path("strategies")
"""Where the repository one is in keeps its own strategies, `NAME.py` each."""


def strategy_named(name: str) -> type[Strategy[Any]]:
    """The strategy of a name; if several have it, the project's comes first, then an installed one, then a file.

    `mine` is `strategies/mine.py` below the current folder if nothing else has that name; a path is `file.py` or
    `file.py:Class`.

    Raises
    ------
    UsageError
        For a name that nothing has, or a strategy that cannot be loaded.
    """
    if is_file_reference(name):
        return load_strategy(name)
    if name in REGISTRY:
        return REGISTRY[name]
    for point in _installed():
        if point.name == name:
            return _loaded(point)
    own = FOLDER / f"{name}.py"
    if name.isidentifier() and own.is_file():
        return load_strategy(own.as_posix())
    raise UsageError(
        f"strategy {shortened(name)} is unknown; {near_miss(name, known_names())}; or name a file.py:Class"
    )


def known_names() -> tuple[str, ...]:
    """Names that `strategy_named` knows here, in the order in which it looks."""
    own = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem.isidentifier())
    return tuple(dict.fromkeys((*REGISTRY, *(point.name for point in _installed()), *own)))


def _installed() -> Iterator[EntryPoint]:
    yield from sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _loaded(point: EntryPoint) -> type[Strategy[Any]]:
    try:
        found = point.load()
    except Exception as problem:
        raise UsageError(
            f"strategy {point.name!r} of entry point {point.value!r} cannot be loaded ({type(problem).__name__}: "
            f"{problem}): mend or uninstall its package"
        ) from None
    return finished(found, f"entry point {point.value!r}")


def strategies_of(names: Sequence[str], parameters: Mapping[str, str]) -> list[Strategy[Any]]:
    """Strategies by name, or all of the project's if none is named, each with its parameters.

    `name=value` goes to every chosen strategy that has such a parameter, `strategy.name=value` to one.

    Raises
    ------
    UsageError
        For an unknown strategy.
    ConfigError
        For a parameter that no chosen strategy has.
    """
    chosen = [strategy_named(name) for name in dict.fromkeys(names or REGISTRY)]
    titles = [strategy.name for strategy in chosen]
    for title in titles:
        if titles.count(title) > 1:
            raise UsageError(f"strategy {title!r} is chosen twice: give yours another name")
    values: dict[str, dict[str, str]] = {strategy.name: {} for strategy in chosen}
    for key, value in parameters.items():
        owner, _, name = key.rpartition(".")
        takers = [one for one in chosen if owner in ("", one.name) and name in one.parameters_type.model_fields]
        if owner and owner not in values:
            raise ConfigError(f"`param {key}`: no strategy {shortened(owner)} is run; {near_miss(owner, values)}")
        if not takers:
            known = {field for one in chosen for field in one.parameters_type.model_fields}
            who = owner or ", ".join(strategy.name for strategy in chosen)
            raise ConfigError(
                f"parameter {shortened(name)} is unknown to {shortened(who)[1:-1]}; {near_miss(name, known)}"
            )
        for strategy in takers:
            values[strategy.name][name] = value
    return [strategy(values[strategy.name]) for strategy in chosen]


def each_alone(names: Sequence[str], parameters: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Each strategy separately, with its own parameters; raises as `strategies_of`."""
    whole = list(dict.fromkeys(names or REGISTRY))
    return [
        (
            name,
            {
                key: value
                for key, value in parameters.items()
                if key.rpartition(".")[0] in ("", chosen.name)
                and key.rpartition(".")[2] in chosen.parameters_type.model_fields
            },
        )
        for name, chosen in zip(whole, strategies_of(names, parameters), strict=True)
    ]
