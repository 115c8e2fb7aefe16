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
from backtest.base.config import RunConfig
from backtest.catalysts.record import KINDS, Catalyst
from backtest.market.profiles import PROGRAMS
from backtest.market.recipe import Recipe
from backtest.request.workspace import Workspace
from backtest.scoring.space import SpaceTable
from tools import gallery
from tools.site import GENERATED, within

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


def test_the_reference_tells_every_file_format_and_exit_code() -> None:
    formats = GENERATED["reference/formats.md"]()
    names = [*Catalyst.__dataclass_fields__, *Recipe.model_fields, *Workspace.model_fields, *SpaceTable.model_fields]
    assert [name for name in names if f"`{name}`" not in formats] == []
    assert [kind for kind in KINDS if f"| `{kind}` |" not in formats] == []
    assert all(one.name in formats for one in PROGRAMS)
    errors = GENERATED["reference/errors.md"]()
    assert [
        code for code in (0, 1, 2, 3, 4, 5, 129, 130, 141, 143) if not re.search(rf"`[^`]*\b{code}\b[^`]*` \|", errors)
    ] == []


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
    assert within("see [kernel.py](../backtest/engine/kernel.py).", "methods.md") == (
        "see kernel.py (`backtest/engine/kernel.py`)."
    )
    for kept in ("see [luck](../concepts/luck.md)", "see [ledger](../ledger.md#p)", "![a](../figures/a.png)"):
        assert within(kept, "how-to/own-bars.md") == kept


def test_formulas_are_drawn_without_a_script(site: Path) -> None:
    page = (site / "methods" / "index.html").read_text()
    assert page.count("<math") > 100
    assert 'display="block"' in page
    assert not [one for one in site.rglob("*.html") if 'class="arithmatex"' in one.read_text()]


def test_every_document_is_in_the_navigation() -> None:
    named = set(re.findall(r"([\w/-]+\.md)\b", (ROOT / "mkdocs.yml").read_text()))
    held = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named == held | set(GENERATED)


def test_the_gallery_answers_its_questions_with_what_it_computed(site: Path) -> None:
    pages = gallery.pages()
    assert len(pages) == 12
    index = (ROOT / "docs" / "gallery" / "index.md").read_text()
    for path in pages:
        text = path.read_text()
        question = text.partition("\n")[0].removeprefix("# ")
        assert f"[{question}]({path.name})" in index
        page = (site / "gallery" / path.stem / "index.html").read_text()
        found = re.search(r"<strong>Answer\.</strong> (.*?)</p>", page, flags=re.S)
        assert found, path.name
        numbers = re.findall(r"[-+]?\d[\d,.]*\d", found[1])
        assert [one for one in numbers if one not in text], f"{path.name} answers with typed numbers: {found[1]}"
        picture = site / "figures" / "gallery" / f"{path.stem}.png"
        assert 5_000 < picture.stat().st_size < 250_000, path.name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# A statement\n\n```python\n1\n```\n", "a page is one question and one block"),
        ("# Why?\n\n```python\nfigure = None\nanswer = 1\n```\n", "leaves figure None and answer 1: set both"),
    ],
)
def test_a_page_that_answers_nothing_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        gallery.answered(path, tmp_path)
