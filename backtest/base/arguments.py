"""Arguments of the public functions, checked against their annotations: a notebook has no type checker."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from typing import Any, TypeVar

from backtest.base.errors import UsageError, shortened

Target = TypeVar("Target", bound=Callable[..., Any])
_CONTAINERS = {"Sequence": Sequence, "Collection": Collection, "Iterable": Iterable, "tuple": tuple, "Mapping": Mapping}
_NUMBERS = {"int": Integral, "float": Real}


def checked(target: Target) -> Target:
    """Decorator of a function, or of a class for its `__init__`: arguments of another type raise `UsageError`.

    An annotation is read where all of its alternatives are classes; the elements of lists and tuples are checked too.
    """
    if isinstance(target, type):
        target.__init__ = checked(target.__init__)  # type: ignore[misc]
        return target
    signature = inspect.signature(target)

    @wraps(target)
    def call(*values: Any, **named: Any) -> Any:
        try:
            given = signature.bind(*values, **named).arguments
        except TypeError:
            return target(*values, **named)  # raises the same, with the function's name
        for name, value in given.items():
            parameter = signature.parameters[name]
            several = parameter.kind is parameter.VAR_POSITIONAL
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.annotation is not parameter.empty:
                for one in value if several else (value,):
                    _check(name, one, str(parameter.annotation), target.__globals__)
        return target(*values, **named)

    return call  # type: ignore[return-value]


def _check(name: str, value: object, annotation: str, known: Mapping[str, Any]) -> None:
    alternatives = _alternatives(annotation)
    tests = [_fits(one, value, known) for one in alternatives]
    if any(one is not False for one in tests):
        for (container, element), fits in zip(alternatives, tests, strict=True):
            if fits and container in _CONTAINERS and element and isinstance(value, list | tuple):
                for place, one in enumerate(value):
                    _check(f"{name}[{place}]", one, element, known)
        return
    wanted = " or ".join(f"{one} of {element}" if one in _CONTAINERS else one for one, element in alternatives)
    if isinstance(value, type) and any(base.__name__ in wanted for base in value.__mro__):
        raise UsageError(f"{name} is the class {value.__name__}, not an instance of it: give {value.__name__}()")
    raise UsageError(f"{name} is of type {type(value).__name__}, {shortened(value)}: give {wanted}")


@cache
def _alternatives(annotation: str) -> tuple[tuple[str, str], ...]:
    """Of `Sequence[Path] | str` the pairs (`Sequence`, `Path`) and (`str`, ``); text that is no type has none."""

    def pairs(node: ast.expr) -> Iterable[tuple[str, str]]:
        if isinstance(node, ast.BinOp):
            yield from pairs(node.left)
            yield from pairs(node.right)
        elif isinstance(node, ast.Subscript):
            inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            origin = ast.unparse(node.value)
            yield origin, "" if origin == "Mapping" else ast.unparse(inner)
        else:
            yield ast.unparse(node), ""

    return tuple(pairs(ast.parse(annotation, mode="eval").body))


def _fits(alternative: tuple[str, str], value: object, known: Mapping[str, Any]) -> bool | None:
    """Whether a value is of a type; None where the name is that of no class."""
    name, _ = alternative
    if name == "None":
        return value is None
    if name in _NUMBERS:
        return isinstance(value, _NUMBERS[name]) and not isinstance(value, bool)
    if name in _CONTAINERS:
        return isinstance(value, _CONTAINERS[name]) and not isinstance(value, str)
    short = name.rpartition(".")[2]
    root, _, rest = name.partition(".")
    found = known.get(root, getattr(builtins, root, None))
    found = getattr(found, rest, None) if rest else found
    if found is not None and (not isinstance(found, type) or getattr(found, "_is_protocol", False)):
        return None
    if isinstance(found, type):
        return isinstance(value, found)
    # Imported for type checking only: each class of the project has a name of its own.
    return any(base.__name__ == short for base in type(value).__mro__)
