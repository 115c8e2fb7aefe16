"""Event backtester for privacy-coin catalysts: point in time, net of every cost, tested against luck.

The public names are listed once, in `__init__.pyi`; each loads on first use, so that `import backtest` costs nothing.
"""

from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    # The first name that is asked for reads the stub, which the command line never needs, and replaces this function.
    import lazy_loader

    load, _, names = lazy_loader.attach_stub(__name__, __file__)
    globals().update(__getattr__=load, __all__=names)
    return names if name == "__all__" else load(name)


def __dir__() -> list[str]:
    names = globals().get("__all__") or __getattr__("__all__")
    return sorted([*names, "__version__"])
