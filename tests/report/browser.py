"""A headless Chromium, driven through chromedriver over loopback."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Loopback is never asked of a proxy.
# Far beyond what a loaded machine takes, for a wait that ends as soon as what it waits for is there.
PATIENCE_S = 120.0
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def required() -> None:
    """Skip the test where no browser can be driven; fail it in CI where one could be installed."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if not absent:
        return
    reason = f"{' and '.join(absent)} not found: install the packages chromium and chromium-driver"
    if os.environ.get("CI") and shutil.which("apt-get"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Browser:
    """A session with one page open."""

    address: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One WebDriver command; an error of the browser is raised with its message."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with OPENER.open(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as problem:
            raise AssertionError(problem.read().decode()[:2000]) from None

    def open(self, page: Path | str) -> None:
        """Load a file or an address anew, to its end; everything logged before is dropped."""
        self.log("performance")
        self.log("browser")
        # The driver may answer before a page of the same address has given way, or while it still loads.
        self.run("window.left = true")
        self.call("POST", "/url", url=page.as_uri() if isinstance(page, Path) else page)
        self.until("return window.left === undefined && document.readyState === 'complete'")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def until(self, script: str, *arguments: Any) -> None:
        """Wait until a script returns true; what it fails with while a page gives way is passed over."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                last = self.run(script, *arguments)
            except AssertionError as problem:
                last = problem
            if last is True:
                return
            assert time.monotonic() < deadline, f"within {PATIENCE_S:g} s never true, at last {last}: {script}"
            time.sleep(0.02)

    def frames(self) -> None:
        """Wait until what was asked for is laid out and painted."""
        self.run(
            """return new Promise((told) => {
                 const next = (left) => (left ? requestAnimationFrame(() => next(left - 1)) : setTimeout(told, 0));
                 next(4);
               })"""
        )

    def log(self, name: str) -> list[dict[str, Any]]:
        """Entries of a log since it was last read."""
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", type=name)
        return entries

    def requests(self) -> list[str]:
        """Addresses that were asked for since the log was last read."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]

    def devtools(self, command: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def resize(self, width: int, height: int = 900) -> None:
        """Lay the page out for a screen of this size."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.until("return innerWidth === arguments[0]", width)

    def prefer(self, scheme: str) -> None:
        """Have the system ask for a light or a dark page."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.until("return matchMedia(`(prefers-color-scheme: ${arguments[0]})`).matches", scheme)

    def medium(self, name: str) -> None:
        """Lay the page out for `screen` or for `print`."""
        self.devtools("Emulation.setEmulatedMedia", media="" if name == "screen" else name)
        self.until("return matchMedia(arguments[0]).matches", name)

    def picture(self) -> bytes:
        """PNG of what is in the window."""
        return base64.b64decode(self.call("GET", "/screenshot"))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a fresh profile in `folder`, which downloads into `folder / "downloads"`."""
    options = {
        "binary": shutil.which("chromium"),
        "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"],
        "prefs": {
            "download.default_directory": str(folder / "downloads"),
            "download.prompt_for_download": False,
            # A test's clicks are no user's: several in a row would be asked about.
            "profile.default_content_setting_values.automatic_downloads": 1,
        },
        "perfLoggingPrefs": {"enableNetwork": True},
    }
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    environment = {**os.environ, "HOME": str(folder), "NO_PROXY": "127.0.0.1,localhost"}
    with subprocess.Popen(
        [str(shutil.which("chromedriver")), "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as driver:
        try:
            root = Browser(f"http://127.0.0.1:{_port(driver)}")
            session = root.call("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
            opened = Browser(f"{root.address}/session/{session}")
            try:
                yield opened
            finally:
                opened.call("DELETE", "")
        finally:
            driver.terminate()


def _port(driver: subprocess.Popen[bytes]) -> int:
    """The port that a driver chose, which it says once it listens."""
    assert driver.stdout is not None
    said = b""
    for line in driver.stdout:
        said += line
        found = re.search(rb"started successfully on port (\d+)", line)
        if found:
            return int(found[1])
    raise AssertionError(f"chromedriver named no port: {said.decode(errors='replace')[-500:]}")
