"""A figure as SVG text to embed in a page: deterministic, themed by CSS variables, with its own ids."""

from __future__ import annotations

import hashlib
import io
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from backtest.report.figures.palette import LIGHT
from backtest.report.figures.settings import in_own_style

_VARIABLES = {colour: f"var(--{name}, {colour})" for name, colour in LIGHT.items()}
_COLOUR = re.compile("|".join(_VARIABLES))
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"'DejaVu Sans'[^;]*")
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_DROPPED = {"metadata", "title"}


def to_svg(figure: Figure) -> str:
    """The figure as an inline `<svg>` element, the same text for the same figure.

    Text stays text, in the page's `--figure-font` where it sets one. The colours of the palette are CSS variables with
    the light palette as their fallback. The figure's label is the `<title>` that a screen reader says.
    """
    text = _drawn(figure)
    root = ElementTree.fromstring(text)
    _simplify(root)
    prefix = "f" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    _rename(root, prefix)
    width, height = root.get("viewBox", "0 0 1 1").split()[2:]
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width} {height}",
        "width": "100%",
        "role": "img",
        "aria-labelledby": f"{prefix}title",
        "class": "figure",
    }
    title = ElementTree.Element("title", {"id": f"{prefix}title"})
    title.text = str(figure.get_label()) or "figure"
    title.tail = "\n"
    root.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode")


@in_own_style
def _drawn(figure: Figure) -> str:
    """Matplotlib's SVG; some ticks are created only now, so the settings apply here too."""
    stream = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(stream, metadata=_NO_METADATA)
    return stream.getvalue()


def _simplify(element: ElementTree.Element) -> None:
    """Plain names, two decimals, variables for colours, no metadata."""
    for child in list(element):
        if child.tag.rpartition("}")[2] in _DROPPED:
            element.remove(child)
        else:
            _simplify(child)
    element.tag = element.tag.rpartition("}")[2]
    if element.tag != "text":
        element.text = (element.text or "").strip() or None
        if element.tag == "style":
            element.text = _COLOUR.sub(lambda found: _VARIABLES[found[0]], element.text or "")
    element.tail = None
    element.attrib = {name.rpartition("}")[2]: _attribute(value) for name, value in element.attrib.items()}


def _attribute(value: str) -> str:
    plain = _DECIMALS.sub(r"\1", " ".join(value.split()))
    plain = _FONT.sub("var(--figure-font, 'DejaVu Sans', sans-serif)", plain)
    return _COLOUR.sub(lambda found: _VARIABLES[found[0]], plain)


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Ids that are referred to get the prefix; the others are removed."""
    referred: set[str] = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            referred.update(_REFERENCE.findall(value))
            if name == "href" and value.startswith("#"):
                referred.add(value[1:])
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in referred:
            element.set("id", prefix + own)
        for name, value in element.attrib.items():
            if name == "href" and value.startswith("#"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif "url(#" in value:
                element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
