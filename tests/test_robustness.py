"""What hostile files, names and disks do to the tool: a clear error, nothing executed, nothing lost."""

from __future__ import annotations

import ast
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.config import load_config
from backtest.base.documents import DEEPEST, read_json, read_toml
from backtest.base.errors import BacktestError, CalendarError, ConfigError, DataError, MarketError, UsageError
from backtest.base.schemas import schema
from backtest.base.schemas.checking import fault_of
from backtest.baseline import baseline_path, read_baseline
from backtest.catalysts.claims import Claim, check_claim, read_claims
from backtest.catalysts.expressions import measure
from backtest.catalysts.reading import open_calendar, read_calendar
from backtest.market.archive import read_archive_file
from backtest.market.auxiliary import read_series
from backtest.market.ccxt_source import Venue
from backtest.market.dataset import METADATA, open_dataset, read_dataset, write_dataset
from backtest.market.download import Downloader
from backtest.market.files import read_bars
from backtest.market.folder import read_folder
from backtest.market.from_store import open_stored
from backtest.market.manifest import manifest_text
from backtest.market.recipe import ExchangeChoice, Recipe, dataset_path, open_recipe, read_exchange_config
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.store import MANIFEST, Store, store_root
from backtest.market.transport import Patience, retry_after, utc_now
from backtest.report.folder import write_text
from backtest.report.search_folder import read_search, write_sweep
from backtest.request.request import Request
from backtest.scoring.bootstrap import interval
from backtest.scoring.placebo import parse_plan
from backtest.scoring.space import parse_axis
from backtest.scoring.sweep import run_sweep
from backtest.scoring.sweep_folder import part_path
from backtest.signals.audit import audit
from backtest.signals.loading import load_strategy, starting_point
from backtest.strategies import REGISTRY
from backtest.study.settings import StudyConfig
from tests.fuzz import documents
from tests.fuzz.targets import small_market
from tests.market.archives import read_archive_path
from tests.market.loopback import HOUR, NOW, Listing, Loopback, options, serving
from tests.scoring.test_sweep import small_sweep

ROOT = Path(__file__).parents[1]
KEY = Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1h")
START = 1_759_276_800_000
KLINE = b"1759276800000,50,51,49,50,1,1759280399999,1,1,1,1,0\n"
ARCHIVE = "ZECUSDT-1h-2025-10-01"


def rows(first: int, count: int) -> Rows:
    times = START + HOUR * np.arange(first, first + count, dtype=np.int64)
    return Rows(times, np.column_stack([50 + np.arange(count) % 7 + lift for lift in (0.0, 1, -1, 0.5, 9)]))


def append(store: Store, first: int, count: int) -> None:
    span = (START + first * HOUR, START + (first + count) * HOUR)
    store.append(KEY, rows(first, count), source="test", units=UNITS["ohlcv"], covered=[span])


def whole(store: Store, count: int) -> None:
    """The store holds the first `count` rows and nothing half-written."""
    assert store.problems(KEY) == []
    assert store.read(KEY).time_ms.size == count
    assert not list(store.root.rglob("*.part*l"))


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(found) > 20
    return found


# Dask sends the work itself to its workers; --cluster names the scheduler, and nothing from a disk is unpickled.
# Compiled code is sealed by its hash, which is checked before it is read; it is machine code, whatever its wrapping.
# The audit speaks through pipes with copies of its own process, which hold the strategy that was typed.
MAY_PICKLE = {"base/mapped.py", "base/tasks.py", "engine/compiling.py", "signals/asking.py", "signals/interpreter.py"}
MAY_EXECUTE = {"signals/loading.py"}


def dangerous(path: Path) -> set[str]:
    """Calls and imports of a module that could execute what a file holds."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            roots = {name.split(".")[0] for name in names}
            found |= roots & {"pickle", "cloudpickle", "joblib", "marshal", "shelve", "dill", "yaml", "runpy", "code"}
            found |= {"importlib"} & {name.split(".")[0] for name in names if "util" in name}
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found |= {called} & {"eval", "exec", "compile", "__import__", "os.system", "pd.read_pickle"}
            found |= {"to_pickle", "read_pickle", "exec_module"} & {called.rpartition(".")[2]}
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if called == "np.load" and given.get("allow_pickle") != "False":
                found.add("np.load")
            if given.get("allow_pickle") == "True" or given.get("shell") == "True":
                found.add("allow_pickle or shell")
    return found


@pytest.mark.parametrize("path", sources("backtest", "strategies"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_that_is_read_can_execute_anything(path: Path) -> None:
    found = dangerous(path)
    if path.relative_to(path.parents[1]).as_posix() in MAY_PICKLE:
        found -= {"pickle", "cloudpickle"}
    if path.relative_to(path.parents[1]).as_posix() in MAY_EXECUTE:
        found -= {"importlib", "exec_module"}
    assert found == set()


def test_the_check_for_execution_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import pickle, yaml\nnp.load(f)\nnp.load(f, allow_pickle=True)\neval('1')\npd.read_pickle(f)\n")
    assert dangerous(path) == {
        *("pickle", "yaml", "np.load", "allow_pickle or shell", "eval", "pd.read_pickle", "read_pickle"),
    }


READERS: dict[str, Callable[[Path], Any]] = {
    "case.toml": read_calendar,
    "claims.toml": read_claims,
    "recipe.toml": lambda path: open_recipe(str(path)),
    "run.toml": load_config,
    "options.json": read_exchange_config,
    "ZECUSDT-1h.csv": read_bars,
    "ZECUSDT-1h.parquet": read_bars,
    "ZEC_USDT_USDT-1h-futures.feather": read_bars,
    "series.csv": read_series,
    f"{ARCHIVE}.zip": read_archive_path,
    "baseline.json": read_baseline,
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_unread(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for make, part in (
        (path.mkdir, "is a folder"),
        (lambda: os.mkfifo(path), "is a pipe or device"),
        (lambda: path.symlink_to("/dev/zero"), "is a pipe or device"),
        (lambda: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda: path.symlink_to(tmp_path / "gone"), "does not exist"),
        (lambda: path.write_bytes(b"a = 1\n") and os.truncate(path, 3 << 30), "at most"),
    ):
        make()
        with pytest.raises(BacktestError, match=part) as caught:
            READERS[name](path)
        assert name in str(caught.value)
        path.rmdir() if path.is_dir() else path.unlink()


def test_depth_dots_duplicates_and_constants_are_refused(tmp_path: Path) -> None:
    toml, document = tmp_path / "case.toml", tmp_path / "case.json"
    for text, part in (
        ("a = " + "[" * 5_000, "nests deeper"),
        (".".join("a" * 40) + " = 1", f"nests deeper than {DEEPEST} levels"),
        (".".join("a" * 20_000) + " = 1", "more than 64 parts"),
        (f"a = {'9' * 5_000}", "not valid TOML"),
        ("a = 1\r\x00", "not valid TOML"),
    ):
        toml.write_text(text, newline="")
        with pytest.raises(ConfigError, match=part):
            read_toml(toml, ConfigError)
    for text, part in (
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nests deeper"),
        ('{"a":' * 40 + "1" + "}" * 40, "nests deeper"),
        (f"[{'9' * 5_000}]", "cannot be read as JSON"),
    ):
        document.write_text(text)
        with pytest.raises(ConfigError, match=part):
            read_json(document, ConfigError)
    toml.write_bytes("seed = 3".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"case.toml line 1: byte 0xff is not UTF-8 text"):
        read_toml(toml, ConfigError)
    toml.write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert load_config(toml).seed == 3


def test_an_error_is_one_printable_line_whatever_is_in_it() -> None:
    assert str(DataError("a\nb \u202e\x00 \ud800")) == r"a b \u202e\x00 \ud800"
    assert len(str(DataError("x" * 100_000))) == 8_000


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("-" * 490 + "1", "nests too deep"),
        ("1+" * 400 + "1", "at most 500 are read"),
        ("'a' * 999999999", "a text is not a number"),
        ("True + 1", "neither a number"),
        ("9" * 400 + " * 1", "too large"),
        ("mean()", "cannot be computed"),
        ("median('a', 'b')", "cannot be computed"),
        ("().__class__", "neither a number"),
        (r"max('\d', 1)", "cannot be computed"),
    ],
)
def test_an_expression_computes_or_says_why_not(text: str, part: str) -> None:
    with pytest.raises(DataError, match=part):
        measure(text, small_market(), {})


def test_a_claim_whose_own_figures_come_to_nothing_is_inconsistent() -> None:
    what: dict[str, Any] = {"says": "x", "subject": "ZEC", "claimed": 2.0, "unit": "days", "measure": "1"}
    assert check_claim(Claim(id="zec.zero", implied="1 - 1", **what), small_market()).verdict == "inconsistent"


@pytest.mark.parametrize("text", ["0h..5", "5..24h", "1..1e300/1e-300", "-1e308..1e308", "1..2/1h"])
def test_ranges_that_cannot_be_searched_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"parameter hold"):
        parse_axis("hold", text)


def test_absurd_sizes_are_refused() -> None:
    for text in ("99999999999", "shift:" + "9" * 5_000):
        with pytest.raises(UsageError, match=r"placebo"):
            parse_plan(text, "net_return", 1)
    with pytest.raises(ConfigError, match=r"longer than 36500 days"):
        load_config(None, max_wait="999999999w")
    with pytest.raises(ConfigError, match=r"unknown key 'path'"):
        load_config(None, path="x")
    for header in ("nan", "inf", "x", "Wed, 99 Foo 9999"):
        assert retry_after(header, utc_now()) is None


def test_kinds_that_a_calendar_adds_are_kinds(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    for odd in ('["a b"]', "[1]", '["' + "a" * 9_000 + '"]', '[["x"]]'):
        path.write_text(documents.CALENDAR.replace('["rumour"]', odd))
        with pytest.raises(CalendarError, match=r"case\.toml: extra_kinds has .*, which is not a valid kind") as caught:
            read_calendar(path)
        assert len(str(caught.value)) < 400


def test_windows_and_cuts_have_bounds() -> None:
    with pytest.raises(UsageError, match=r"event window of 876,\d+ bars"):
        StudyConfig(before="36500d").windows(HOUR)
    with pytest.raises(UsageError, match=r"cuts = 999999999 are more than"):
        audit(REGISTRY["buy_and_hold"](), small_market(), open_calendar("privacy-2025"), cuts=999_999_999)
    with pytest.raises(UsageError, match=r"draws = 99999999999 are more than"):
        interval(lambda one: float(one.mean()), np.arange(100.0), seed=1, draws=99_999_999_999)
    with pytest.raises(UsageError, match=r"is not a folder"):
        store_root("/dev/null")


def packed(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        archive.writestr(name, content)
    return sink.getvalue()


def test_zips_that_lie_lead_astray_or_never_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(content: bytes) -> None:
        read_archive_file("x.zip", f"{ARCHIVE}.zip", content)

    inside = f"{ARCHIVE}.csv"
    read(packed(inside, KLINE))
    link = zipfile.ZipInfo(inside)
    link.external_attr = 0o120777 << 16
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MarketError, match=r"has no column"):
        read(sink.getvalue())  # The link's target is read as text, never followed.
    for name in (f"../{inside}", f"/{inside}", f"a/{inside}", "..\\x.csv"):
        with pytest.raises(MarketError, match=r"alone is expected"):
            read(packed(name, KLINE))
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with pytest.raises(MarketError, match=r"not packed as the archive packs"):
            read(packed(inside, KLINE, method))
    honest = packed(inside, b"0" * (4 << 20))
    declared = honest.replace(struct.pack("<L", 4 << 20), struct.pack("<L", 100))
    with pytest.raises(MarketError, match=r"not a complete zip|has no column"):
        read(declared)
    monkeypatch.setattr("backtest.market.archive.LARGEST", 1 << 20)
    with pytest.raises(MarketError, match=r"unpacks to more than"):
        read(honest)


def test_archive_names_of_no_time_are_no_names(tmp_path: Path) -> None:
    for date in ("9999-12", "9999-12-31", "0001-01", "2025-13"):
        with pytest.raises(MarketError, match=r"not a file name of Binance's archive"):
            read_archive_file("x", f"ZECUSDT-1h-{date}.zip", KLINE)
    text = b"2025-10-01T00:05:00+02:00,ZECUSDT,1,2,3,4,5,6\n"
    with pytest.raises(MarketError, match=r"column create_time"):
        read_archive_file("x", "ZECUSDT-metrics-2025-10-01.csv", text)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    write_dataset(small_market(), folder, how_made="by hand", made_by="the tests")
    return folder


def changed(folder: Path, **values: Any) -> None:
    document = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps(document | values))


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", ".hidden", "x\x00y", "", "a" * 200])
def test_a_dataset_cannot_name_a_folder(dataset: Path, name: str) -> None:
    changed(dataset, name=name)
    with pytest.raises(MarketError, match=r"name = "):
        read_dataset(dataset)


def test_a_dataset_reads_only_its_own_files_and_makes_room_only_for_what_it_has(dataset: Path) -> None:
    files = json.loads((dataset / METADATA).read_text())["files"]
    for name in ("../../etc/passwd", "/dev/zero", "a/b"):
        changed(dataset, files=files | {name: "0" * 64})
        with pytest.raises(MarketError, match=r"files"):
            read_dataset(dataset)
    changed(dataset, files=files, start="1000-01-01T00:00:00Z", end="9000-01-01T00:00:00Z", timeframe="1s")
    with pytest.raises(MarketError, match=r"more than the 200,000,000"):
        read_dataset(dataset)
    os.remove(dataset / "bars.parquet")
    os.symlink("/dev/zero", dataset / "bars.parquet")
    with pytest.raises(MarketError):
        read_dataset(dataset)


def test_a_manifest_cannot_lead_out_of_its_own_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    append(store, 0, 5)
    path = store.root / KEY.path / MANIFEST
    manifest = json.loads(path.read_text())
    victim = tmp_path / f"1-2-{'a' * 12}.parquet"
    victim.write_bytes(b"somebody's")
    for values, part in (
        ({"venue": "../../.."}, "is of"),
        ({"timeframe": "../../../.."}, "is of"),
        ({"files": [manifest["files"][0] | {"name": f"../../../../../{victim.name}"}]}, "name"),
        ({"files": [manifest["files"][0] | {"rows": 10**15}]}, "rows"),
        ({"coverage": [[0, 10**30]]}, "coverage"),
    ):
        path.write_bytes(manifest_text(manifest | values))
        for deed in (lambda: store.read(KEY), lambda: store.compact(KEY), lambda: append(store, 5, 5)):
            with pytest.raises(MarketError, match=part):
                deed()
        assert store.problems(KEY)
    assert victim.read_bytes() == b"somebody's"
    path.write_bytes(manifest_text(manifest))
    whole(store, 5)


def test_a_stored_name_is_its_files_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    append(store, 0, 5)
    path = dataset_path(tmp_path, "mine")
    path.parent.mkdir()
    values = {"venue": "bybit", "symbols": [KEY.symbol], "series": ["ohlcv"], "timeframe": "1h", "start_ms": START}
    for name in ("../../evil", "other"):
        path.write_text(json.dumps({**values, "end_ms": None, "name": name}))
        with pytest.raises(MarketError, match=r"name|says that it is 'other'"):
            open_stored(store, "mine")
    recipe = recipe_named(tmp_path, "../x")
    with pytest.raises(ConfigError, match=r"name = '\.\./x'"):
        open_recipe(str(recipe))


def recipe_named(folder: Path, name: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(f'name = "{name}"\nsymbols = ["ZEC/USDT"]\ntimerange = "20250101-"\n[exchange]\nid = "bybit"\n')
    return path


def test_names_of_users_do_not_become_paths(tmp_path: Path) -> None:
    for name in ("../../evil", "a/b", "..", "A", "x" * 99):
        with pytest.raises(UsageError, match=r"strategy name"):
            starting_point(name)
    path = tmp_path / "mine.py"
    path.write_text(starting_point("mine").replace('name = "mine"', 'name = "../../evil"'))
    with pytest.raises(UsageError, match=r"is named '../../evil': its name is used in file names"):
        load_strategy(str(path))
    for reference in ("~nobody-here/x.py", f"{'a' * 5_000}.py:X", "/dev/zero.py", "x\x00.py"):
        with pytest.raises(UsageError, match=r"home folder of an unknown user|does not exist"):
            load_strategy(reference)
    for name in ("~nobody-here", "a" * 5_000, "/dev/zero", "x\x00"):
        with pytest.raises(UsageError, match=r"home folder of an unknown user|is neither a folder"):
            open_dataset(name, store=tmp_path)


def test_a_strategy_file_that_leaves_python_is_an_error(tmp_path: Path) -> None:
    for text in (
        "raise SystemExit(0)",
        "0/0",
        "a = '\\ud800'; b = a.encode()",
        "x = (",
        "\0",
    ):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(UsageError, match=r"mine\.py"):
            load_strategy(str(tmp_path / "mine.py"))


MARKER = "import pathlib\npathlib.Path({marker!r}).write_text('executed')\n"


def test_a_malformed_request_of_a_document_is_refused(tmp_path: Path) -> None:
    for odd in (5, [], {"strategies": "x"}, {"zzz": 1}, None):
        with pytest.raises(ConfigError, match=r"run\.json"):
            Request.read(odd, tmp_path / "run.json")


def test_python_beside_data_is_never_imported(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from backtest.cli import app

    marker = tmp_path / "marker"
    store = tmp_path / "store"
    append(Store(store), 0, 5)
    for folder in (dataset, store, store / "bybit", tmp_path):
        for name in ("evil.py", "conftest.py", "__init__.py", "strategies.py", "numpy.py"):
            (folder / name).write_text(MARKER.format(marker=str(marker)))
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["strategies"],
        ["data", "list", "--store", str(store)],
        ["data", "check", "--store", str(store)],
        ["events", "list"],
        ["study", "-d", str(dataset)],
        ["data", "import", str(dataset), "--store", str(store)],
        ["report", str(dataset)],
        ["baseline", "check", str(dataset)],
    ):
        CliRunner().invoke(app, arguments)
        assert not marker.exists(), arguments


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing_of_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    append(store, 0, 50)
    with full_disk(600), pytest.raises(MarketError, match=r"store .* cannot be written .*choose another with `store`"):
        append(store, 50, 5_000)
    whole(store, 50)
    append(store, 50, 5_000)
    whole(store, 5_050)


def test_a_full_disk_leaves_old_files_as_they_were(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old")
    with full_disk(1_000), pytest.raises(OSError, match=r"File too large"):
        write_text(path, "new" * 1_000)
    assert path.read_text() == "old"
    with full_disk(1_000), pytest.raises(OSError, match=r"File too large"):
        write_dataset(small_market(), dataset, how_made="anew", made_by="the tests")
    assert read_dataset(dataset).sha256() == small_market().sha256()
    assert sorted(file.name for file in dataset.iterdir()) == ["bars.parquet", "funding.parquet", METADATA]


def test_a_search_on_a_full_disk_keeps_its_parts_and_goes_on(tmp_path: Path) -> None:
    work, folder = small_sweep(), tmp_path / "sweep"
    with full_disk(200), pytest.raises(UsageError, match=r"folder .*sweep cannot be written or read"):
        run_sweep(work, folder)
    assert list((folder / "parts").iterdir()) == []
    run_sweep(work, folder)
    kept = (folder / "returns.npy").read_bytes()
    with full_disk(200), pytest.raises(UsageError, match=r"parts that are whole are kept"):
        run_sweep(work, folder)
    assert (folder / "returns.npy").read_bytes() == kept
    assert not list(folder.glob("*.part"))
    part = part_path(folder, 0)
    good = part.read_bytes()
    for damaged in (b"", b"\x80\x04.", good[: len(good) // 2], packed("statistics.npy", b"x")):
        part.write_bytes(damaged)
        with pytest.raises(DataError, match=r"000000\.npz .*remove it, and run the same command again"):
            run_sweep(work, folder)
    part.unlink()
    run_sweep(work, folder)
    assert (folder / "returns.npy").read_bytes() == kept


def test_a_real_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here, which needs root")
    try:
        store = Store(small / "store")
        append(store, 0, 50)
        with pytest.raises(MarketError, match=r"No space left on device"):
            append(store, 50, 400_000)
        whole(store, 50)
        (small / "filler").write_bytes(b"x" * (shutil.disk_usage(small).free - 4_096))
        with pytest.raises(UsageError, match=r"No space left on device"):
            run_sweep(small_sweep(), small / "sweep")
        assert not list(small.rglob("*.part*"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_vanishes_in_the_middle_of_a_search(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"

    def remove(what: str, done: int, total: int) -> None:
        if done:
            shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(UsageError, match=r"folder .*sweep cannot be written or read"):
        run_sweep(small_sweep(), folder, progress=remove)


def test_a_store_that_vanishes_in_the_middle_of_a_download(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def remove(path: str, query: dict[str, str]) -> None:
        if "kline" in path:
            shutil.rmtree(store.root, ignore_errors=True)

    state = Loopback(listings={"ZECUSDT": Listing("ZEC", START - 9_000 * HOUR)}, now_ms=NOW, hook=remove)
    with serving(state):
        choice = ExchangeChoice(id="bybit", options=options("bybit", state.url))
        recipe = Recipe(
            name="test", exchange=choice, symbols=("ZEC/USDT:USDT",), series=("ohlcv",), timerange="20250801-20251101"
        )
        patience = Patience(attempts=2, doubtful=2, first=0.002, longest=0.01)
        try:
            report = Downloader(recipe, store, patience=patience, clock=lambda: NOW).run()
        except MarketError as problem:
            assert "store" in str(problem)  # noqa: PT017 - either way of saying so is right
        else:
            assert report.complaint()
    assert store.problems(KEY) == [] or store.manifest(KEY) is None


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that belongs to this user, looked at by one who may only read it."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)


def drop() -> None:
    """Go on as nobody; skipped where nobody may read the checkout, since then not even the code can be loaded."""
    if os.geteuid() == 0:
        os.seteuid(65_534)
        if not os.access(Path(__file__), os.R_OK, effective_ids=True):
            pytest.skip("the checkout may be read by its owner only")


def test_a_read_only_store_is_read_and_not_written(tmp_path: Path) -> None:
    append(Store(tmp_path), 0, 5)
    with as_nobody() as folder:
        store = Store(folder / "store")
        append(store, 0, 5)
        store.compact(KEY)
        for path in (store.root, *store.root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        drop()
        assert store.read(KEY).time_ms.size == 5
        assert open_stored(store, "bybit").symbols == (KEY.symbol,)
        store.compact(KEY)
        with pytest.raises(MarketError, match=r"cannot be written .*Permission denied.*choose another with `store`"):
            append(store, 5, 5)
        assert store.problems(KEY) == []


def test_what_may_not_be_read_is_said_to_be_so() -> None:
    with as_nobody() as folder:
        write_dataset(small_market(), folder / "set", how_made="by hand", made_by="the tests")
        (folder / "case.toml").write_text("seed = 1")
        (folder / "closed").mkdir()
        for path in (folder / "set" / METADATA, folder / "case.toml", folder / "closed"):
            path.chmod(0)
        drop()
        with pytest.raises(ConfigError, match=r"case\.toml cannot be read: Permission denied"):
            load_config(folder / "case.toml")
        with pytest.raises(MarketError, match=r"metadata\.json cannot be read: Permission denied"):
            open_dataset(str(folder / "set"), store=folder)
        with pytest.raises(MarketError, match=r"closed cannot be read as a folder of market files: Permission denied"):
            open_dataset(str(folder / "closed"), store=folder)
        with pytest.raises(UsageError, match=r"folder .* cannot be written"):
            run_sweep(small_sweep(), folder / "sweep")


def test_exchange_options_that_ccxt_cannot_take_are_refused() -> None:
    import threading

    for odd in ({"rateLimit": "x"}, {"rateLimit": None}):
        with pytest.raises(ConfigError, match=r"exchange options of bybit are not what ccxt takes"):
            Venue("bybit", odd, threading.Event(), Patience())


def test_a_document_that_leaves_its_schema_is_told_where() -> None:
    rule = schema("sweep")
    assert fault_of({"schema": "backtest.sweep/1"}, rule).startswith("the document has no")
    assert fault_of([], rule) == "the document is [], not of type object"
    known = {"type": ["number", "null"], "minimum": 0}
    assert [fault_of(value, known) for value in (None, 0, 1.5)] == ["", "", ""]
    assert fault_of(-1, known) == "the document is -1, below 0"


def test_a_sweep_makes_no_room_for_splits_that_cannot_be(tmp_path: Path) -> None:
    write_sweep(tmp_path, run_sweep(small_sweep(), tmp_path))
    document = json.loads((tmp_path / "sweep.json").read_text())
    document["overfitting"]["logits"]["splits"][0] = 2**32
    (tmp_path / "sweep.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"sweep folder .*splits reach 4294967296"):
        read_search(tmp_path)


def test_a_baselines_file_stands_inside_its_folder(tmp_path: Path) -> None:
    from types import SimpleNamespace

    odd: Any = SimpleNamespace(data=SimpleNamespace(name="../../etc"), strategy=SimpleNamespace(name="../x/\x00y"))
    assert baseline_path(tmp_path, odd).resolve().is_relative_to(tmp_path)


def test_a_folder_of_files_ignores_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ZECUSDT-1h.csv")
    (tmp_path / "DASHUSDT-1h.csv").symlink_to("/dev/zero")
    with pytest.raises(MarketError, match=r"holds no bars"):
        read_folder(tmp_path)
