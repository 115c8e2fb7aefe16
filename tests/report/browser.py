"""A headless Chromium, driven through chromedriver over loopback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing() -> str:
    """Why no browser can be driven here; empty where one can."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"{' and '.join(absent)} not found: install the packages chromium and chromium-driver" if absent else ""


@dataclass(frozen=True, slots=True)
class Browser:
    """A session with one page open."""

    address: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One WebDriver command; an error of the browser is raised with its message."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as problem:
            raise AssertionError(problem.read().decode()[:2000]) from None

    def open(self, page: Path) -> None:
        """Load a file; everything logged before is dropped."""
        self.log("performance")
        self.log("browser")
        self.call("POST", "/url", url=page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

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

    def prefer(self, scheme: str) -> None:
        """Have the system ask for a light or a dark page."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self) -> bytes:
        """PNG of what is in the window."""
        return base64.b64decode(self.call("GET", "/screenshot"))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a fresh profile in `folder`, which downloads into `folder / "downloads"`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
    driver = subprocess.Popen(
        [str(shutil.which("chromedriver")), f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        root = Browser(f"http://127.0.0.1:{port}")
        _await(root)
        session = root.call("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
        opened = Browser(f"{root.address}/session/{session}")
        try:
            yield opened
        finally:
            opened.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(timeout=20)


def _await(root: Browser, patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if root.call("GET", "/status")["ready"]:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"chromedriver did not answer within {patience_s:g} s")
