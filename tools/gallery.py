"""Runs the pages of docs/gallery: each a question, a block that computes `figure` and `answer`, and nothing typed.

`python -m tools.gallery [PAGE...]` prints each answer, and the seconds of processor time it took.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "gallery"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.S | re.M)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a page computed: its answer, the PNG it drew, and the processor time it took, in seconds."""

    question: str
    answer: str
    picture: Path
    seconds: float


def pages() -> list[Path]:
    """Every page with a question, by name."""
    return sorted(path for path in PAGES.glob("*.md") if path.name != "index.md")


def answered(path: Path, folder: Path) -> Answered:
    """Run the block of a page in a folder of its own and draw its figure into `folder`.

    Raises
    ------
    ValueError
        Where the page has no question, not one block, or its block leaves no `figure` and `answer`.
    """
    import matplotlib

    matplotlib.use("Agg")
    text = path.read_text(encoding="utf-8")
    question = text.partition("\n")[0].removeprefix("# ")
    blocks = _BLOCK.findall(text)
    if not question.endswith("?") or len(blocks) != 1:
        raise ValueError(
            f"{path.name} asks {question!r} with {len(blocks)} blocks: a page is one question and one block"
        )
    names: dict[str, object] = {"__name__": "gallery"}
    began, here = time.process_time(), Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            exec(compile(blocks[0], path.name, "exec"), names)
        finally:
            os.chdir(here)
    figure, answer = names.get("figure"), names.get("answer")
    if figure is None or not isinstance(answer, str):
        raise ValueError(f"{path.name} leaves figure {figure!r} and answer {answer!r}: set both")
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{path.stem}.png"
    figure.savefig(picture, dpi=100, bbox_inches="tight")  # type: ignore[attr-defined]
    return Answered(question, answer, picture, time.process_time() - began)


def shown(text: str, one: Answered) -> str:
    """The page with its figure and answer above the block that computed them."""
    head, block, rest = text.partition("```python\n")
    return (
        f"{head}![{one.question}](../figures/gallery/{one.picture.name})\n\n**Answer.** {one.answer}\n\n"
        f"## How this was computed\n\n{block}{rest}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as drawn:
        for page in pages():
            if page.stem in (sys.argv[1:] or [page.stem]):
                found = answered(page, Path(drawn))
                print(f"{found.question}\n  {found.answer}\n  {found.seconds:.1f} s\n", flush=True)
