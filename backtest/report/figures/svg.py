"""A figure as SVG text to embed in a page: deterministic, themed by CSS variables, with its own ids."""

from __future__ import annotations

import hashlib
import io
import re
from functools import lru_cache
from html import escape
from typing import Any

from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from backtest.report.figures.palette import LIGHT
from backtest.report.figures.settings import in_own_style

_VARIABLES = {colour: f"var(--{name}, {colour})" for name, colour in LIGHT.items()}
_COLOUR = re.compile("|".join(_VARIABLES))
_DECIMALS = re.compile(r"(?<=\.\d\d)\d+")
_REFERENCE = re.compile(r'url\(#([^)]+)\)|href="#([^"]+)"')
_REFERRING = re.compile(r'(url\(#|href="#)')
_ID = re.compile(r' id="([^"]*)"')
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_SAID = re.compile(r"(>[^<]*</text>)")
_POINTS = 72
"""Points an inch: the unit of SVG that matplotlib writes."""
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def to_svg(figure: Figure) -> str:
    """The figure as an inline `<svg>` element, the same text for the same figure.

    Text stays text, in the page's `--figure-font` where it sets one. The colours of the palette are CSS variables with
    the light palette as their fallback. The figure's label is the `<title>` that a screen reader says.
    """
    text = _drawn(figure)
    prefix = "f" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    head, _, body = text[text.index("<svg") :].partition(">")
    view = _VIEW.search(head)
    width, height = view.groups() if view else ("1", "1")
    title = escape(str(figure.get_label()) or "figure", quote=False)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="100%" role="img" '
        f'aria-labelledby="{prefix}title" class="figure"><title id="{prefix}title">{title}</title>\n'
        f"{_plain(body.strip(), prefix)}"
    )


class _Renderer(RendererSVG):
    """Matplotlib's renderer, but a text is measured once for all figures."""

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        """Points."""
        return _measured(s, prop, ismath)


@lru_cache(maxsize=4096)
def _measured(text: str, font: FontProperties, math: Any) -> tuple[float, float, float]:
    return text_to_path.get_text_width_height_descent(text, font, math)


@in_own_style
def _drawn(figure: Figure) -> str:
    """Matplotlib's SVG; some ticks are created only now, so the settings apply here too."""
    stream, dpi = io.StringIO(), figure.dpi
    try:
        figure.dpi = _POINTS
        width, height = figure.get_size_inches() * _POINTS
        renderer: Any = _Renderer(width, height, stream, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
        figure.draw(renderer)
        renderer.finalize()
    finally:
        figure.dpi = dpi
    return stream.getvalue()


def _plain(body: str, prefix: str) -> str:
    """Two decimals, variables for colours, ids only where they are referred to; what a figure says stays as it is.

    Matplotlib escapes `<` and `>` wherever they are not markup, so that what stands between `>` and `</text>` is text.
    """
    pieces = _SAID.split(body)
    markup = "\0".join(pieces[::2])
    referred = {one or other for one, other in _REFERENCE.findall(markup)}
    markup = " ".join(markup.split())
    markup = markup.replace("> <", "><").replace(' "', '"').replace(" />", "/>").replace("xlink:href", "href")
    markup = _DECIMALS.sub("", markup)
    markup = _FONT.sub("var(--figure-font, 'DejaVu Sans', sans-serif)", markup)
    markup = _COLOUR.sub(lambda found: _VARIABLES[found[0]], markup)
    markup = _ID.sub(lambda found: f' id="{prefix}{found[1]}"' if found[1] in referred else "", markup)
    markup = _REFERRING.sub(rf"\1{prefix}", markup)
    pieces[::2] = markup.split("\0")
    return "".join(pieces)
