"""The tests that come with the package: whether an installation holds what it promises, without the checkout.

    python -m pytest --pyargs backtest.acceptance

needs pytest beside the package and some ten seconds, half a minute the first time, when the kernel is compiled. It
reads the embedded sample, calendars, claims and strategies, and writes only to pytest's own temporary folder.
"""
