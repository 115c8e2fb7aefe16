"""The report: one HTML file that needs nothing but a browser."""

from backtest.report.html.contents import Contents, Missing, gather
from backtest.report.html.page import make_room, render, write_page

__all__ = ["Contents", "Missing", "gather", "make_room", "render", "write_page"]
