"""What the documents show is run: every code block, command and worked number, found by glob; links lead somewhere.

Each document is followed from its first block to its last in an empty folder of its own, CONTRIBUTING in a copy of the
checkout. What a block is, its language and first line say:

    python    run; where the first line is a comment that names a file (`# strategies/one.py`), written to it instead
    diff      applied to the file it names
    console   each `$ command` is run and must end well, or with the code that its comment names (`# exit code 4`);
              where output is shown it must be the tool's, `...` standing for what is left out
    toml json yaml   parsed
    csv       rows of as many cells as their header
    text      not code

A block with a title (```csv title="events.csv") is written to that file as it stands.

Where a document changes functions that numba compiles, each of them is compiled by itself, and the commands run as
plain Python: the whole kernel would take two minutes.

Commands that would reach the network must say so (`# network`) and meet the venue on loopback here. `make` only tells
what it would do.
"""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backtest.base.documents import datasets_root
from backtest.cli import main
from backtest.engine.compiling import sources
from backtest.engine.layout import VERDICTS
from backtest.engine.why import REMEDIES
from backtest.market.dataset import open_dataset, read_metadata
from tests.market.loopback import Listing, Loopback, options, serving
from tools import picture
from tools.site import FIGURES

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for place in ("*.md", "docs/**/*.md", "datasets/**/*.md")
    for path in ROOT.glob(place)
    # The pages of the gallery are run by the site that shows what they compute (tests/test_site.py).
    if path.parent.name != "gallery"
)
METHODS = ROOT / "docs" / "methods.md"
EXTENDING = ROOT / "docs" / "extending.md"
OF_CHECKOUT = (ROOT / "CONTRIBUTING.md", EXTENDING)
RECIPES = {
    "metric": 3,
    "bar series": 4,
    "auxiliary series": 2,
    "placebo kind": 3,
    "figure": 2,
    "verb": 3,
    "cost": 5,
    "exit": 4,
}
"""Most files that a recipe of docs/extending.md may touch, its test among them."""
OVER_THE_NETWORK = (("fetch",), ("data", "record"))
MOST_WORDS = 1_250  # five minutes at 250 a minute
FENCE = re.compile(r"^```(\w*)(?: title=\"([\w/.-]+)\")?\n(.*?)^```$", flags=re.S | re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, the line of its document that it starts on, and the file that it is."""

    language: str
    text: str
    line: int
    title: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a console block, its comment, and the output shown below it."""

    words: tuple[str, ...]
    comment: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    complaints: str

    def check(self, code: int, what: str) -> None:
        assert self.code == code, f"{what} ended with {self.code}\n{self.output}\n{self.complaints}"


def blocks(text: str) -> list[Block]:
    return [
        Block(found[1], found[3], text[: found.start()].count("\n") + 1, found[2] or "")
        for found in FENCE.finditer(text)
    ]


def commands(block: str) -> list[Command]:
    assert block.startswith("$ "), "a console block begins with `$ command`"
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        first, *shown = part.splitlines()
        line, _, comment = first.partition("  # ")
        found.append(Command(tuple(shlex.split(line)), comment, tuple(shown)))
    return found


def agrees(shown: tuple[str, ...], output: str) -> bool:
    """Whether output is what a document shows of it: a line `...` stands for any lines, `...` in one for any text."""
    pattern = ""
    for line in shown:
        lazy = r".*?".join(re.escape(part) for part in line.rstrip().split("..."))
        pattern += r"(?:[^\n]*\n)*?" if line.strip() == "..." else lazy + r" *\n"
    return re.fullmatch(pattern, output + ("" if output.endswith("\n") else "\n")) is not None


def compiled_functions(path: Path) -> dict[str, str]:
    """Functions of a file that numba compiles, by name."""
    found = [one for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)]
    ways = {"compiled", "inlined", "linked"}
    return {one.name: ast.unparse(one) for one in found if {ast.unparse(way) for way in one.decorator_list} & ways}


def even_rows(text: str) -> None:
    """A table in which every row has the cells of its header."""
    widths = {len(row) for row in csv.reader(text.splitlines())}
    assert len(widths) == 1, f"rows of {sorted(widths)} cells"


COMPILING = """
import sys
from importlib import import_module
import numba
from backtest import Session
from backtest.engine.kernel import new_work
from backtest.engine.prepared import empty_book
from backtest.testing import synthetic_market

prepared = Session(synthetic_market()).prepared
work = new_work(1, 2)
examples = {
    "Positions": work.state, "Bars": prepared.bars, "Rules": prepared.rules, "Work": work,
    "Book": empty_book(prepared.bar_count, 1), "int": 1, "float": 1.0, "bool": True,
}
for name in sys.argv[1:]:
    module, _, function = name.partition(":")
    function = getattr(import_module(module), function)
    *given, _ = function.py_func.__annotations__.values()
    function.compile(tuple(numba.typeof(examples[one]) for one in given))
    print(name)
"""
"""Compiles the functions that it is given, for arguments of the types that their signatures name."""


class Reader:
    """Does in `folder` what a document says."""

    def __init__(self, folder: Path, gateway: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.gateway, self.capsys = folder, gateway, capsys
        self.apart = (folder / "backtest").is_dir()
        self.steps = 0

    def changed(self) -> list[str]:
        """Compiled functions of the copy that are not as in the checkout: `backtest.engine.path:settle`."""
        if not self.apart:
            return []
        files = [path.relative_to(ROOT) for path in sources(ROOT / "backtest" / "engine")]
        return [
            f"{'.'.join(file.with_suffix('').parts)}:{name}"
            for file in files
            for name, written in compiled_functions(self.folder / file).items()
            if written != compiled_functions(ROOT / file).get(name)
        ]

    def follow(self, block: Block) -> None:
        if block.language == "console":
            for command in commands(block.text):
                self.steps += 1
                self._order(command)
            return
        self.steps += 1
        act: dict[str, Callable[[str], object]] = {
            "python": self._python,
            "diff": self._patch,
            "toml": tomllib.loads,
            "json": json.loads,
            "yaml": yaml.safe_load,
            "csv": even_rows,
            "text": len,
        }
        assert block.language in act, f"a block is one of {', '.join(act)} or console, not {block.language!r}"
        act[block.language](block.text)
        if block.title:
            (self.folder / block.title).write_text(block.text)

    def _python(self, text: str) -> None:
        named = re.match(r"# ([\w/.-]+\.\w+)\n", text)
        if named:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.removeprefix(named[0]))
        elif self.apart:
            self._process("-c", text).check(0, "the block")
        else:
            exec(compile(text, "block", "exec"), {"__name__": "block"})

    def _patch(self, text: str) -> None:
        head, *hunks = text.split("@@\n")
        path = self.folder / re.findall(r"^\+\+\+ b/(\S+)$", head, flags=re.M)[0]
        source = path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
            assert source.count(old) == 1, f"{path.name} does not hold once:\n{old}"
            source = source.replace(old, new)
        path.write_text(source)

    def _process(self, *words: str) -> Ended:
        environment = {**os.environ, "PYTHONPATH": str(self.folder if self.apart else ROOT)}
        environment.pop("CI", None)
        if self.changed():
            environment["NUMBA_DISABLE_JIT"] = "1"
        return self._ended(words, environment)

    def _ended(self, words: tuple[str, ...], environment: dict[str, str]) -> Ended:
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def shorten_baseline(self) -> None:
        """Record anew, compiled, what is checked as plain Python: 10,000 draws of 15 strategies would take hours."""
        words = ("baseline", "record", "--folder", "baselines", "-s", "random_entry", "--placebo", "shift:19")
        self._process("-m", "backtest", *words).check(0, "recording")

    def compile(self) -> None:
        """Compile each function that the document changed, with all that it calls."""
        if changed := self.changed():
            ended = self._ended(("-c", COMPILING, *changed), {**os.environ, "PYTHONPATH": str(self.folder)})
            ended.check(0, "compiling")
            assert ended.output.split() == changed

    def _backtest(self, *words: str) -> Ended:
        self.capsys.readouterr()
        code = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["backtest", *words])
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Ended(code, *self.capsys.readouterr())

    def _order(self, command: Command) -> None:
        program, *arguments = command.words
        program = Path(program).name
        reaches_out = any(tuple(arguments[: len(verb)]) == verb for verb in OVER_THE_NETWORK)
        if program == "backtest" and reaches_out:
            assert "network" in command.comment, f"{shlex.join(command.words)} does not say that it needs the network"
            arguments += ["--exchange-config", self.gateway]
        if program == "make":
            subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
            return
        if program == "backtest":
            ended = self._process("-m", "backtest", *arguments) if self.apart else self._backtest(*arguments)
        else:
            assert program in ("python", "pytest"), f"a command is backtest, make, python or pytest, not {program}"
            ended = self._process(*(("-m", "pytest") if program == "pytest" else ()), *arguments)
        wanted = re.search(r"exit code (\d+)", command.comment)
        ended.check(int(wanted[1]) if wanted else 0, shlex.join(command.words))
        assert not command.shown or agrees(command.shown, ended.output), (
            f"{shlex.join(command.words)} is shown to print\n"
            + "\n".join(command.shown)
            + f"\nbut prints\n{ended.output}"
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for `my-futures`, bars of one's own as CSV; 80 columns, a store of its own."""
    folder = tmp_path / "folder"
    bars = folder / "my-futures"
    bars.mkdir(parents=True)
    market = open_dataset("privacy-2025-sample")
    for symbol in ("ZEC/USDT:USDT", "DASH/USDT:USDT"):
        column = market.column(symbol)
        values = (getattr(market, name)[:, column] for name in ("open", "high", "low", "close", "volume"))
        rows = (",".join(map(repr, map(float, row))) for row in zip(*values, strict=True))
        lines = (f"{stamp},{row}" for stamp, row in zip(market.open_ms.tolist(), rows, strict=True))
        name = symbol.split("/")[0]
        (bars / f"{name}USDT-1h.csv").write_text("\n".join(("timestamp,open,high,low,close,volume", *lines)))
    for name, value in (("COLUMNS", "80"), ("NO_COLOR", "1"), ("BACKTEST_STORE", str(tmp_path / "store"))):
        monkeypatch.setenv(name, value)
    # A reader has a ledger where he is: this folder.
    monkeypatch.delenv("BACKTEST_LEDGER", raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    """Options of ccxt that lead to a venue on loopback."""
    coins = ("ZEC", "DASH", "ZEN", "BTC", "ETH")
    with serving(Loopback({f"{base}USDT": Listing(base, 1_700_000_000_000) for base in coins})) as venue:
        path = tmp_path / "gateway.json"
        path.write_text(json.dumps(options("bybit", venue.url)))
        yield str(path)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_shown_is_what_happens(
    document: Path, folder: Path, gateway: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if document in OF_CHECKOUT:
        folder = folder / "checkout"
        for name in ("backtest", "strategies", "tests", "datasets", "baselines"):
            # Times are kept, and with them the kernel's cache; not what another process is writing just now.
            shutil.copytree(
                ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("*.pyc.*", "*.part")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)
        monkeypatch.chdir(folder)
    reader = Reader(folder, gateway, capsys)
    if document == EXTENDING:
        reader.shorten_baseline()
    for block in blocks(document.read_text()):
        try:
            reader.follow(block)
        except Exception as problem:
            problem.add_note(f"in {document.relative_to(ROOT)}, the block of line {block.line}")
            raise
    reader.compile()
    assert reader.changed() or document != EXTENDING
    assert reader.steps or document.name != "README.md" or document.parent != ROOT


def test_a_wrong_document_would_be_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Reader(folder, "", capsys)
    (folder / "one.py").write_text("a = 1\n")
    for language, text, complaint in (
        ("python", "assert 1 == 2", None),
        ("sh", "ls", "not 'sh'"),
        ("diff", "+++ b/one.py\n@@\n-b\n+c\n", "does not hold once"),
        ("console", "$ backtest events validate nowhere\n", "ended with"),
        ("console", "$ backtest events validate\nprivacy-2025: 3 catalysts...\n...\n", "but prints"),
        ("console", "$ backtest fetch privacy-2025\n", "does not say that it needs the network"),
        ("console", "$ rm -r /\n", "not rm"),
        ("console", "$ make nothing\n", None),
    ):
        with pytest.raises((AssertionError, subprocess.CalledProcessError), match=complaint):
            reader.follow(Block(language, text, 1))
    assert blocks("a\n```python\nx\n```\n") == [Block("python", "x\n", 2)]
    assert agrees(("a...c", "...", "d"), "abc\n1\n2\nd\n")
    assert not agrees(("a", "d"), "a\n1\nd\n")


def slug(heading: str) -> str:
    """A heading as GitHub links to it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text())
    for target in re.findall(r"\[[^\]\n]*\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        place, _, anchor = target.partition("#")
        if Path(place).name in FIGURES:
            continue  # drawn when the site is built
        path = (document.parent / place).resolve() if place else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), flags=re.M)
            assert anchor in {slug(heading) for heading in headings}, f"{document.name} links to {target}"


def test_the_picture_of_the_readme_is_what_a_run_prints() -> None:
    drawn = picture.PICTURE.read_text()
    assert picture.shown(drawn) == picture.shown(picture.drawn(picture.output())), "draw it anew: make picture"
    assert "docs/figures/run.svg" in (ROOT / "README.md").read_text()
    assert len(drawn) < 60_000
    assert not re.search(r"(?:href|src|url)[=(]\W*https?:", drawn)


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MOST_WORDS


def test_every_reason_of_a_rejection_is_named_and_has_a_remedy() -> None:
    told = (ROOT / "README.md").read_text()
    reasons = {one.name for one in VERDICTS[1:]}
    assert {name for name in reasons - {"EXTENDED"} if name not in told} == set()
    assert reasons == set(REMEDIES)


def test_a_recipe_touches_few_files() -> None:
    sections = re.split(r"^## Add an? ", EXTENDING.read_text(), flags=re.M)[1:]
    assert len(sections) > 4
    for section in sections:
        what, _, text = section.partition("\n")
        files = {
            found for one in blocks(text) for found in re.findall(r"^(?:# |\+\+\+ b/)([\w/.-]+\.\w+)$", one.text, re.M)
        }
        assert any(file.startswith("tests/") for file in files), what
        assert 1 < len(files) <= RECIPES[what], (what, files)


def test_every_room_is_drawn() -> None:
    drawn = OF_CHECKOUT[0].read_text()
    rooms = [path.parent.name for path in (ROOT / "backtest").glob("*/__init__.py")]
    assert len(rooms) > 6
    assert [name for name in rooms if f"](backtest/{name})" not in drawn] == []


def test_methods_name_every_source_that_the_code_cites() -> None:
    text = METHODS.read_text()
    cited, linked = set(), set()
    for path in (ROOT / "backtest").rglob("*.py"):
        found = {doi.rstrip(".,;)") + (")" if "(" in doi and ")" not in doi.rstrip(".,;)") else "") for doi in
                 re.findall(r"(?:doi:|ISBN )([\w./():-]+)", path.read_text())}  # fmt: skip
        cited |= found
        if found:
            linked.add(str(path.relative_to(ROOT)))
    assert len(cited) > 20
    assert sorted(source for source in cited if source not in text) == []
    assert sorted(path for path in linked if f"(../{path})" not in text) == []


def test_methods_name_every_statistic_score_and_placebo() -> None:
    from backtest.scoring.metric import OF_BARS, OF_TRADES
    from backtest.scoring.placebo import KINDS
    from backtest.study.significance import TESTS

    text = METHODS.read_text()
    # Drags are costs over the capital, and net_low, net_high and placebo_p stand in the run and its evidence.
    scores = [one.name for one in (*OF_BARS, *OF_TRADES)]
    assert len(scores) > 15
    assert [name for name in (*TESTS, *KINDS, *scores) if f"`{name}`" not in text] == []


def test_the_data_card_is_complete() -> None:
    card = (datasets_root() / "README.md").read_text()
    for path in datasets_root().glob("*/*.toml"):
        if path.parent.name in ("catalysts", "claims", "recipes"):
            assert f"`{path.stem}`" in card, f"{path.name} is not in the data card"
    folders = [path.parent for path in datasets_root().glob("*/metadata.json")]
    assert folders
    for folder in folders:
        section = re.split(r"^## ", card, flags=re.M)
        (own,) = [part for part in section if part.startswith(folder.name)]
        metadata, market = read_metadata(folder), open_dataset(folder.name)
        assert metadata.licence in own
        assert f"{len(market.index):,} " in own
        assert f"{market.index[0]:%Y-%m-%d %H:%M}" in own
        assert {one.base for one in market.instruments} <= set(re.findall(r"\b[A-Z]{2,5}\b", own))
