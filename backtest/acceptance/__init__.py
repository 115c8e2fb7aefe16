"""Tests shipped with the package: whether an installation keeps its promises, without the checkout.

    python -m pytest --pyargs backtest.acceptance

needs pytest, and takes some ten seconds; the first run, which compiles the kernel, half a minute. It
reads the embedded sample, calendars, claims and strategies, and writes only to pytest's own temporary folder.
"""
