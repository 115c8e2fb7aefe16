"""Event backtester for privacy-coin catalysts: point in time, net of every cost, tested against luck.

The public names stand in `__init__.pyi`, once; each loads on first use, so that `import backtest` costs nothing.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
