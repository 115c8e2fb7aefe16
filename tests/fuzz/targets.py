"""Every parser of the project, each with a way to make a hostile case for it."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlparse

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import requests

from backtest.base.config import load_config
from backtest.base.documents import build, read_toml
from backtest.base.errors import ConfigError
from backtest.base.tasks import check_address
from backtest.base.units import duration_ms, format_ms, parse_timerange, timeframe_ms
from backtest.baseline import baseline_of, baseline_path, baseline_text, compare, read_baseline
from backtest.catalysts.claims import check_claim, read_claims
from backtest.catalysts.clusters import cluster_numbers, confounding
from backtest.catalysts.expressions import measure
from backtest.catalysts.reading import open_calendar, read_calendar
from backtest.catalysts.timing import known_at_ms
from backtest.cli.report import command_of
from backtest.market.archive import archive_name
from backtest.market.auxiliary import read_series
from backtest.market.ccxt_source import Venue
from backtest.market.dataset import BARS, METADATA, open_dataset, read_dataset, write_dataset
from backtest.market.files import market_file, read_bars, read_funding, read_open_interest
from backtest.market.folder import read_folder
from backtest.market.from_store import open_stored, unusable
from backtest.market.recipe import StoredDataset, dataset_path, open_recipe, read_exchange_config
from backtest.market.record import Instrument, Market, Provenance
from backtest.market.rows import UNITS, Key, Rows, series_names
from backtest.market.store import MANIFEST, Store
from backtest.market.transport import Patience, retry_after, utc_now
from backtest.report.folder import run_document, to_json
from backtest.report.html.contents import read_run
from backtest.report.search_folder import read_search, write_sweep
from backtest.request.request import Request, asked_in, assignments
from backtest.request.strategies import strategies_of
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.placebo import parse_plan
from backtest.scoring.space import grid_trials, parse_axis, random_trials, space_of
from backtest.scoring.sweep import run_sweep
from backtest.scoring.sweep_folder import read_part
from backtest.strategies import REGISTRY
from backtest.study.settings import StudyConfig
from tests.fuzz import documents
from tests.fuzz.harness import Target
from tests.fuzz.mutations import TEXTS, encoded, mutated, mutated_bytes, mutated_text
from tests.market.archives import read_archive_path
from tests.market.loopback import HOUR, NOW, Listing, Loopback, options
from tests.scoring.test_sweep import small_sweep

OPEN_MS = 1_759_276_800_000
SWAP, SPOT = Instrument.parse("ZEC/USDT:USDT"), Instrument.parse("ZEC/USDT")
Make = Callable[[Path, Random], None]


@cache
def small_market() -> Market:
    """Two days of hourly bars of a swap and its spot."""
    random = np.random.default_rng(1)
    open_, close = 50 + random.random((2, 48, 2))
    return Market(
        index=pd.DatetimeIndex(pd.to_datetime(OPEN_MS + HOUR * np.arange(48), unit="ms", utc=True)),
        timeframe="1h",
        instruments=(SWAP, SPOT),
        open=open_,
        high=np.maximum(open_, close) + 0.5,
        low=np.minimum(open_, close) - 0.5,
        close=close,
        volume=1000 * random.random((48, 2)),
        open_interest=np.column_stack((1e6 + random.random(48), np.full(48, np.nan))),
        funding=np.column_stack((np.where(np.arange(48) % 8 == 7, 1e-4, 0.0), np.zeros(48))),
        provenance=Provenance("small", "made for the tests"),
    )


def _file(name: str, seed: str, read: Callable[[Path], Any]) -> Make:
    def make(folder: Path, random: Random) -> None:
        path = folder / name
        path.write_bytes(mutated(seed.encode(), random))
        read(path)

    return make


def _calendar(path: Path) -> None:
    calendar = read_calendar(path)
    calendar.hash()
    confounding(calendar, HOUR)
    cluster_numbers(calendar, HOUR)
    for one in calendar:
        known = known_at_ms(one)
        assert one.when
        assert known is None or format_ms(known)


def _claims(path: Path) -> None:
    for claim in read_claims(path):
        check_claim(claim, small_market())


def _recipe(path: Path) -> None:
    recipe = open_recipe(str(path))
    assert recipe.span.start_ms is not None
    json.dumps(recipe.model_dump(mode="json"))
    dataset_path(Path("/root-of-store"), recipe.name).relative_to("/root-of-store/datasets")


def _study(path: Path) -> None:
    settings = build(StudyConfig, read_toml(path, ConfigError), f"configuration {path}")
    settings.hash()
    windows = settings.windows(duration_ms(settings.timeframe or "1h") or HOUR)
    settings.minimum(windows)


def _space(path: Path) -> None:
    space_of("", {}, path, None, None, 7)


def _folder(folder: Path, random: Random) -> None:
    inside = folder / "futures"
    inside.mkdir(exist_ok=True)
    (inside / "ZECUSDT-1h.csv").write_bytes(mutated(documents.BARS.encode(), random))
    (inside / "ZECUSDT-funding.csv").write_text(documents.FUNDING)
    (inside / "ZECUSDT-oi-4h.csv").write_text(documents.OPEN_INTEREST)
    read_folder(inside)


@cache
def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": pd.to_datetime(OPEN_MS + HOUR * np.arange(4), unit="ms", utc=True),
            "open": [50.0, 51, 52, 53],
            "high": [51.0, 52, 53, 54],
            "low": [49.0, 50, 51, 52],
            "close": [50.5, 51.5, 52.5, 53.5],
            "volume": [1.0, 2, 3, 4],
        }
    )


def _odd_column(random: Random) -> Any:
    return random.choice(
        (
            pa.array([1, 2, 3, 4], pa.int8()),
            pa.array([1.0, None, float("nan"), float("inf")]),
            pa.array(["1", "2", None, "x"]),
            pa.array([b"1", b"\xff", None, b""]),
            pa.array([[1], [], None, [2, 3]]),
            pa.array([{"a": 1}] * 4),
            pa.array([True, False, None, True]),
            pa.array([2**62, -(2**63), 0, 2**63 - 1], pa.timestamp("ns", "UTC")),
            pa.array([2**40, -(2**40), 0, None], pa.timestamp("s", "UTC")),
            pa.array([2**40] * 4, pa.timestamp("s", "Mars/Olympus")),
            pa.array([2**64 - 1, 0, 1, 2], pa.uint64()),
            pa.array([1, 2, 3, 4], pa.date32()),
            pa.array([1, 2, 3, 4], pa.duration("ms")),
            pa.array(["a", "b", "a", "b"]).dictionary_encode(),
            pa.array([None] * 4),
            pa.array([1, 2, 3, 4]).cast(pa.decimal128(38, 10)),
        )
    )


def _odd_table(random: Random) -> Any:
    table = pa.Table.from_pandas(_frame(), preserve_index=False)
    deed = random.randrange(4)
    place = random.randrange(table.num_columns)
    if deed == 0:
        return table.set_column(place, table.column_names[place], _odd_column(random))
    if deed == 1:
        return table.remove_column(place)
    if deed == 2:
        return table.append_column(random.choice(("symbol", "open", "", "x" * 5000, "date")), _odd_column(random))
    return pa.concat_tables([table.slice(random.randrange(5))] * random.randrange(1, 3))


def _arrow(form: str) -> Make:
    name = {"feather": "ZEC_USDT_USDT-1h-futures.feather", "parquet": "ZECUSDT-1h.parquet"}[form]

    def make(folder: Path, random: Random) -> None:
        sink = io.BytesIO()
        table = _odd_table(random) if random.random() < 0.5 else pa.Table.from_pandas(_frame(), preserve_index=False)
        if form == "feather":
            pa.feather.write_feather(table, sink, compression=random.choice(("lz4", "uncompressed", "zstd")))
        else:
            pa.parquet.write_table(table, sink, compression=random.choice(("zstd", "none", "snappy")))
        data = sink.getvalue()
        path = folder / name
        path.write_bytes(mutated_bytes(data, random) if random.random() < 0.6 else data)
        read_bars(path)

    return make


@cache
def _dataset(folder: Path) -> tuple[bytes, bytes]:
    write_dataset(small_market(), folder / "pristine", how_made="by hand", made_by="the tests", seed=1)
    return (folder / "pristine" / METADATA).read_bytes(), (folder / "pristine" / BARS).read_bytes()


def _metadata(folder: Path, random: Random) -> None:
    text, _ = _dataset(folder)
    (folder / "pristine" / METADATA).write_bytes(mutated(text, random))
    read_dataset(folder / "pristine")


def _dataset_bars(folder: Path, random: Random) -> None:
    text, bars = _dataset(folder)
    if random.random() < 0.5:
        bars = mutated_bytes(bars, random)
    else:
        table = pa.parquet.read_table(io.BytesIO(bars))
        place = random.randrange(table.num_columns)
        values = [random.choice((None, *table.column(place).to_pylist()[:3])) for _ in range(table.num_rows)]
        if place == 0:
            values = [random.choice((OPEN_MS, -1, 2**63 - 1, OPEN_MS + 1, None)) for _ in values]
        table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
        sink = io.BytesIO()
        pa.parquet.write_table(table.slice(random.randrange(2)), sink)
        bars = sink.getvalue()
    document = json.loads(text)
    document["files"][BARS] = hashlib.sha256(bars).hexdigest()
    (folder / "pristine" / METADATA).write_text(json.dumps(document))
    (folder / "pristine" / BARS).write_bytes(bars)
    read_dataset(folder / "pristine")


ARCHIVE = {
    "ZECUSDT-1h-2025-10-01": documents.KLINES,
    "ZECUSDT-metrics-2025-10-01": documents.METRICS,
    "ZECUSDT-fundingRate-2025-10": documents.FUNDING_ARCHIVE,
}


def _zip(folder: Path, random: Random) -> None:
    stem = random.choice(sorted(ARCHIVE))
    text = ARCHIVE[stem].encode()
    data = mutated(text, random) if random.random() < 0.6 else text
    sink = io.BytesIO()
    names = random.choice(([f"{stem}.csv"],) * 12 + ([f"../{stem}.csv"], ["/etc/passwd"], [], [f"{stem}.csv"] * 2))
    methods = (zipfile.ZIP_DEFLATED,) * 9 + (zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(sink, "w", random.choice(methods)) as archive:
        for number, name in enumerate(names):
            archive.writestr(name if number == 0 else "second.csv", data)
    content = sink.getvalue()
    path = folder / f"{stem}.zip"
    path.write_bytes(mutated_bytes(content, random) if random.random() < 0.4 else content)
    read_archive_path(path)


@cache
def _stored(root: Path) -> tuple[Key, bytes, bytes]:
    store, key = Store(root), Key.of("bybit", SWAP.symbol, "ohlcv", "1h")
    times = OPEN_MS + HOUR * np.arange(6, dtype=np.int64)
    values = np.tile([50.0, 51, 49, 50.5, 10], (6, 1))
    span = (OPEN_MS, OPEN_MS + 6 * HOUR)
    store.append(key, Rows(times, values), source="test", units=UNITS["ohlcv"], covered=[span])
    StoredDataset(
        name="mine",
        venue="bybit",
        symbols=(SWAP.symbol,),
        series=("ohlcv",),
        timeframe="1h",
        start_ms=OPEN_MS,
        end_ms=None,
    ).write(root)
    return key, (root / key.path / MANIFEST).read_bytes(), dataset_path(root, "mine").read_bytes()


def _manifest(folder: Path, random: Random) -> None:
    key, manifest, name = _stored(folder / "store")
    (folder / "store" / key.path / MANIFEST).write_bytes(mutated(manifest, random))
    dataset_path(folder / "store", "mine").write_bytes(name)
    store = Store(folder / "store")
    for one in store.manifests():
        assert store.problems(one.key) or unusable(store, one.key) is not None
    assert store.missing(key, OPEN_MS, OPEN_MS + 9 * HOUR) is not None
    open_stored(store, "mine")


def _stored_name(folder: Path, random: Random) -> None:
    key, manifest, name = _stored(folder / "store")
    (folder / "store" / key.path / MANIFEST).write_bytes(manifest)
    dataset_path(folder / "store", "mine").write_bytes(mutated(name, random))
    open_stored(Store(folder / "store"), "mine")


def _stored_rows(folder: Path, random: Random) -> None:
    key, manifest, name = _stored(folder / "store")
    (folder / "store" / key.path / MANIFEST).write_bytes(manifest)
    dataset_path(folder / "store", "mine").write_bytes(name)
    listed = json.loads(manifest)["files"][0]["name"]
    path = folder / "store" / key.path / listed
    whole = path.read_bytes()
    try:
        path.write_bytes(mutated_bytes(whole, random))
        open_stored(Store(folder / "store"), "mine")
    finally:
        path.write_bytes(whole)


@cache
def _venue(identifier: str) -> tuple[Venue, Loopback]:
    state = Loopback(listings={"ZECUSDT": Listing("ZEC", OPEN_MS - 400 * HOUR)}, now_ms=NOW)
    patience = Patience(attempts=2, doubtful=2, first=0.0, longest=0.0, venue_longest=0.0)
    venue = Venue(identifier, options(identifier, "http://127.0.0.1:9", rateLimit=0), threading.Event(), patience)
    return venue, state


def _ccxt(folder: Path, random: Random) -> None:
    identifier = random.choice(("bybit", "binanceusdm"))
    venue, state = _venue(identifier)
    hostile = random.random() < 0.15

    def answer(self: requests.Session, method: str, url: str, **more: Any) -> requests.Response:
        split = urlparse(url)
        body = json.dumps(state.answer(split.path, dict(parse_qsl(split.query)), None)).encode()
        lists_markets = "nfo" in split.path
        response = requests.Response()
        spoilt = lists_markets == hostile and "time" not in split.path
        response.raw = io.BytesIO(mutated(body, random) if spoilt else body)
        response.status_code = random.choice((200,) * 12 + (400, 429, 500)) if lists_markets == hostile else 200
        response.url = url
        response.headers["Retry-After"] = random.choice(("0", "nan", "-1", "x", "inf"))
        return response

    with patch.object(requests.Session, "request", answer):
        venue.load((SWAP,))
        listed = venue.listed(SWAP.symbol)
        if listed is None:
            assert venue.symbol_hint(SWAP.symbol)
            return
        since = NOW - 72 * HOUR
        page = venue.page(random.choice(("ohlcv", "oi", "funding")), listed, "1h", since, NOW)
        times = page.rows.time_ms
        assert (np.diff(times) > 0).all()
        assert times.size == 0 or since <= times[0] <= times[-1] <= NOW


@cache
def _parts() -> bytes:
    sink = io.BytesIO()
    np.savez(
        sink,
        statistics=np.ones((2, 8)),
        returns=np.zeros((2, 48), np.float32),
        drawn=np.ones((2, 5)),
        reasons=np.array(["", "none"]),
        exact=np.array([True, False]),
    )
    return sink.getvalue()


def _part(folder: Path, random: Random) -> None:
    path = folder / "000000.npz"
    deed = random.random()
    if deed < 0.2:
        sink = io.BytesIO()
        odd: Any = random.choice((np.ones((3, 8)), np.ones(2), np.array(["x"]), np.array([None, {}], dtype=object)))
        names = ("statistics", "returns", "drawn", "reasons", "exact")
        np.savez(sink, **dict.fromkeys(names[: random.randrange(6)], odd))
        path.write_bytes(sink.getvalue())
    else:
        path.write_bytes(mutated_bytes(_parts(), random))
    read_part(path, 2, 48)


def _expression(text: str) -> None:
    measure(text, small_market(), {})


def _axis(text: str) -> None:
    axis = parse_axis("hold", text)
    random_trials([axis], 5, 1)
    if not axis.between:
        grid_trials([axis])


READERS: tuple[Callable[[str], Any], ...] = (
    duration_ms,
    timeframe_ms,
    parse_timerange,
    Instrument.parse,
    lambda text: assignments([text], "-p"),
    lambda text: parse_plan(text, "net_return", 7),
    _axis,
    series_names,
    _expression,
    lambda text: strategies_of([text], {}),
    lambda text: load_config(None, **assignments([text], "--set")),
    lambda text: strategies_of(["catalyst_momentum"], assignments([text], "-p")),
    lambda text: open_dataset(text, store=Path("/nowhere")),
    open_calendar,
    open_recipe,
    archive_name,
    lambda text: market_file(Path(text)),
    lambda text: Key.of(text, SWAP.symbol, "ohlcv", "1h"),
    lambda text: retry_after(text, utc_now()),
    lambda text: format_ms(int(duration_ms(text)) * 1000),
    check_address,
)


def _text(folder: Path, random: Random) -> None:
    text = random.choice((*documents.TEXTS, *TEXTS))
    if random.random() < 0.85:
        text = mutated_text(text, random)
    random.choice(READERS)(encoded(text, random).decode("utf-8", "surrogateescape"))


@cache
def _evaluation() -> Evaluation:
    return evaluate(
        [REGISTRY["catalyst_momentum"]()],
        small_market(),
        open_calendar("privacy-2025"),
        load_config(None, funding_unknown="zero"),
        plan=None,
        bootstrap=0,
    )


@cache
def _run_json() -> bytes:
    request = Request(strategies=("catalyst_momentum", "mine.py:Mine"), parameters={"hold": "24h"}, placebo="0")
    return to_json(run_document(_evaluation(), request.model_dump())).encode()


def _run_folder(folder: Path, random: Random) -> None:
    (folder / "run.json").write_bytes(mutated(_run_json(), random))
    request, within = asked_in(read_run(folder), folder / "run.json")
    assert within.start_ms is not None
    assert command_of(request, read_run(folder))


@cache
def _baseline_text() -> bytes:
    return baseline_text(baseline_of(_evaluation(), {"strategies": ["catalyst_momentum"], "placebo": "0"})).encode()


def _baseline(folder: Path, random: Random) -> None:
    path = folder / "baseline.json"
    path.write_bytes(mutated(_baseline_text(), random))
    baseline = read_baseline(path)
    assert baseline_text(baseline)
    assert baseline_path(folder, baseline).resolve().is_relative_to(folder.resolve())
    if baseline.request is not None:
        Request.read(baseline.request, path)
    assert compare(baseline, _evaluation()) is not None


@cache
def _sweep(folder: Path) -> dict[str, bytes]:
    write_sweep(folder, run_sweep(small_sweep(), folder))
    return {name: (folder / name).read_bytes() for name in ("sweep.json", "trials.csv", "returns.npy")}


def _sweep_folder(folder: Path, random: Random) -> None:
    whole = _sweep(folder / "sweep")
    hurt = random.choice(("sweep.json", "sweep.json", "sweep.json", "trials.csv", "returns.npy"))
    for name, content in whole.items():
        (folder / "sweep" / name).write_bytes(mutated(content, random) if name == hurt else content)
    with patch("backtest.scoring.cross_validation.probability_of_overfitting"):
        read_search(folder / "sweep")


TARGETS = (
    Target("calendar TOML", _file("case.toml", documents.CALENDAR, _calendar), "case.toml"),
    Target("claims TOML", _file("case.toml", documents.CLAIMS, _claims), "case.toml"),
    Target("recipe TOML", _file("case.toml", documents.RECIPE, _recipe), "case.toml"),
    Target("run configuration TOML", _file("case.toml", documents.RUN, lambda path: load_config(path).hash())),
    Target("study configuration TOML", _file("case.toml", documents.STUDY, _study)),
    Target("sweep space TOML", _file("case.toml", documents.SPACE, _space)),
    Target("folder of CSV bars", _folder, "futures"),
    Target("funding CSV", _file("ZECUSDT-funding.csv", documents.FUNDING, read_funding), "ZECUSDT-funding.csv"),
    Target(
        "open-interest CSV", _file("ZECUSDT-oi-4h.csv", documents.OPEN_INTEREST, read_open_interest), "ZECUSDT-oi-4h"
    ),
    Target("auxiliary series CSV", _file("series.csv", documents.SERIES, read_series), "series.csv"),
    Target("freqtrade Feather", _arrow("feather"), "feather"),
    Target("Parquet bars", _arrow("parquet"), "parquet"),
    Target("dataset metadata.json", _metadata, "pristine"),
    Target("dataset Parquet", _dataset_bars, "pristine"),
    Target("Binance archive zip", _zip, "ZECUSDT-"),
    Target("store manifest.json", _manifest),
    Target("store name JSON", _stored_name),
    Target("store Parquet", _stored_rows),
    Target("exchange options JSON", _file("case.json", documents.EXCHANGE, read_exchange_config), "case.json"),
    Target("venue answers through ccxt", _ccxt),
    Target("sweep part npz", _part, "000000.npz"),
    Target("run.json of a report", _run_folder, "run.json"),
    Target("sweep folder of a report", _sweep_folder, "sweep"),
    Target("baseline JSON", _baseline, "baseline.json"),
    Target("command-line texts", _text),
)
