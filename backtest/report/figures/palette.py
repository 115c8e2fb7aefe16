"""The few colours of every figure, by name, for paper and for a dark screen.

The series colours are those of Okabe and Ito (2008), which readers with any colour vision tell apart. An SVG names
them as CSS variables (`var(--blue, #0072b2)`), so that the page around it can recolour the figure.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#5d6670",
    "grid": "#dde1e6",
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "red": "#d55e00",
    "purple": "#b5578f",
    "sky": "#56b4e9",
    "alarm": "#b3261e",
    "on-alarm": "#fffffe",
}
"""Colours on paper, which a figure is drawn with."""

DARK = {
    "paper": "#14181d",
    "ink": "#e8eaed",
    "muted": "#a0a8b2",
    "grid": "#333a43",
    "blue": "#4da6df",
    "orange": "#f0b429",
    "green": "#2fc49b",
    "red": "#ff8a4c",
    "purple": "#dd8fbd",
    "sky": "#8fd0f5",
    "alarm": "#ff6b5e",
    "on-alarm": "#14181e",
}
"""The same names on a dark page."""

PAPER, INK, MUTED, GRID = LIGHT["paper"], LIGHT["ink"], LIGHT["muted"], LIGHT["grid"]
BLUE, ORANGE, GREEN, RED = LIGHT["blue"], LIGHT["orange"], LIGHT["green"], LIGHT["red"]
PURPLE, SKY = LIGHT["purple"], LIGHT["sky"]
ALARM, ON_ALARM = LIGHT["alarm"], LIGHT["on-alarm"]

# On a cell of a colour map the page's theme must not move the ink: not in LIGHT, so never a variable.
FIXED_DARK, FIXED_LIGHT = "#101112", "#fdfdfe"


def css_variables(theme: dict[str, str]) -> str:
    """Declarations of a theme's variables, as they stand in a style sheet's rule."""
    return " ".join(f"--{name}: {colour};" for name, colour in theme.items())
