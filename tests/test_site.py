"""The documentation site builds without a warning, search finds what people look for, and no link leaves it dead."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backtest
from backtest.config import RunConfig
from tools.site import GENERATED, on_page_markdown

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


def test_search_finds_funding_and_every_verb(site: Path) -> None:
    pages = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert len(pages) > 100
    for word in ("funding", "placebo", "backtest run", "trailing_stop", "look-ahead"):
        assert any(word in page["text"] or word in page["title"] for page in pages), word


def test_the_reference_names_every_public_name_and_setting(site: Path) -> None:
    api = (site / "reference" / "api" / "index.html").read_text()
    assert [name for name in backtest.__all__ if f".{name}" not in api] == []
    settings = (site / "reference" / "configuration" / "index.html").read_text()
    assert [name for name in RunConfig.model_fields if f"<code>{name}</code>" not in settings] == []


def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(GENERATED)
    dead, seen = [], 0
    for page in pages:
        if page.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="(?!\w+:)([^"#?]+)[^"]*"', page.read_text()):
            seen += 1
            path = page.parent / target
            if not (path.is_file() or (path / "index.html").is_file() or target == "."):
                dead.append(f"{page.relative_to(site)} -> {target}")
    assert seen > 500
    assert dead == []


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe|link rel="stylesheet")[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text()
        )
        assert loaded == [], page


def test_links_to_the_checkout_become_names() -> None:
    assert on_page_markdown("see [kernel.py](../backtest/engine/kernel.py).") == (
        "see kernel.py (`backtest/engine/kernel.py`)."
    )
    assert on_page_markdown("see [luck](../concepts/luck.md)") == "see [luck](../concepts/luck.md)"
