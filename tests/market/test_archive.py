"""Binance's public archive: names, headers, units, labels, checksums, hostile zips, and the same over HTTP."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.market import archive
from backtest.market.archive import archive_name, read_archive_file, verify_checksum
from backtest.market.archive_download import ArchiveDownloader
from backtest.market.from_store import open_stored
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import Key
from backtest.market.store import Store
from backtest.market.transport import Patience
from tests.market.archives import read_archive_path

HOUR, DAY = 3_600_000, 86_400_000
ROOT = Path(__file__).parents[2]
OCT = 1_759_276_800_000  # 2025-10-01 00:00 UTC
KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def kline(time: int, close: float = 11) -> str:
    return f"{time},10,12,9,{close},5,{time + 1},55,3,2,22,0"


def day_of_hours(start: int = OCT, *, header: bool = True, micro: bool = False, hours: range = range(24)) -> str:
    lines = [kline((start + hour * HOUR) * (1000 if micro else 1)) for hour in hours]
    return "\n".join(([KLINE_HEADER] if header else []) + lines) + "\n"


def metrics(stamps: list[str]) -> str:
    return "\n".join(
        [METRICS_HEADER, *(f"{stamp},ZECUSDT,{100 + i},{5000 + i},1,1,1,1" for i, stamp in enumerate(stamps))]
    )


def clock_times(start: int, count: int) -> list[str]:
    """`count` texts every five minutes from `start`."""
    times = np.arange(start, start + count * 300_000, 300_000).astype("datetime64[ms]")
    return [str(time).replace("T", " ").split(".")[0] for time in times]


def zipped(name: str, text: str | bytes, inside: str | None = None) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(inside or name.replace(".zip", ".csv"), text)
    return sink.getvalue()


def put(folder: Path, name: str, text: str, *, checksum: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = zipped(name, text)
    (folder / name).write_bytes(content)
    if checksum:
        digest = hashlib.sha256(content).hexdigest()
        (folder / f"{name}.CHECKSUM").write_text(f"{digest}  {name}\n")
    return folder / name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ZECUSDT-1h-2025-10.zip", ("ZEC", "USDT", "ohlcv", "1h", OCT, OCT + 31 * DAY)),
        ("1000SHIBUSDT-15m-2025-10-01.csv", ("1000SHIB", "USDT", "ohlcv", "15m", OCT, OCT + DAY)),
        ("ZECFDUSD-1d-2024-12.zip", ("ZEC", "FDUSD", "ohlcv", "1d", 1_733_011_200_000, 1_735_689_600_000)),
        ("ZECUSDT-metrics-2025-10-01.zip", ("ZEC", "USDT", "oi", "5m", OCT, OCT + DAY)),
        ("ZECUSDT-fundingRate-2025-10.zip", ("ZEC", "USDT", "funding", "fundingRate", OCT, OCT + 31 * DAY)),
    ],
)
def test_names_tell_what_a_file_is_of(name: str, told: tuple[object, ...]) -> None:
    found = archive_name(name)
    assert found is not None
    assert (found.base, found.quote, found.series, found.period, found.start_ms, found.end_ms) == told


@pytest.mark.parametrize(
    "name", ["ZECUSDT-1h.csv", "ZECUSDT-1h-2025-13.zip", "USDT-1h-2025-10.zip", "ZECXYZ-1h-2025-10.zip", "../a.zip"]
)
def test_other_names_are_not_of_the_archive(name: str) -> None:
    assert archive_name(name) is None


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("micro", [True, False])
def test_header_and_unit_are_found_out(header: bool, micro: bool) -> None:
    name = "ZECUSDT-1h-2025-10-01.zip"
    content = read_archive_file("x", name, zipped(name, day_of_hours(header=header, micro=micro)))
    assert content.rows.time_ms.tolist() == [OCT + hour * HOUR for hour in range(24)]
    assert content.rows.values[0].tolist() == [10, 12, 9, 11, 5]
    assert content.covered == ((OCT, OCT + DAY),)
    assert content.gaps == ()


def test_units_may_change_inside_a_file() -> None:
    text = day_of_hours(header=False, hours=range(12)) + day_of_hours(header=False, micro=True, hours=range(12, 24))
    content = read_archive_file("x", "ZECUSDT-1h-2025-10-01.csv", text.encode())
    assert content.rows.time_ms.tolist() == [OCT + hour * HOUR for hour in range(24)]


def test_a_slot_that_a_whole_file_lacks_is_a_gap() -> None:
    text = day_of_hours(hours=range(6)) + day_of_hours(header=False, hours=range(8, 24))
    content = read_archive_file("x", "ZECUSDT-1h-2025-10-01.csv", text.encode(), vouched=True)
    assert content.gaps == ((OCT + 6 * HOUR, OCT + 8 * HOUR),)


def test_repeated_rows_are_dropped_and_said() -> None:
    text = day_of_hours() + kline(OCT)
    content = read_archive_file("x", "ZECUSDT-1h-2025-10-01.csv", text.encode())
    assert content.rows.time_ms.size == 24
    assert content.repairs == ("1 exact duplicate row dropped, first at line 26 (2025-10-01 00:00)",)


@pytest.mark.parametrize(
    ("date", "first_stamp", "sampled"),
    [
        # Whatever the day, the later instant is taken: prices decide where the samples meet bars.
        ("2025-06-24", "2025-06-24 00:05:00", "2025-06-24T00:05"),
        ("2026-06-24", "2026-06-24 00:00:00", "2026-06-24T00:00"),
        ("2026-06-25", "2026-06-25 00:00:00", "2026-06-25T00:00"),
    ],
)
def test_metrics_are_stamped_with_the_start_of_their_period(date: str, first_stamp: str, sampled: str) -> None:
    start = int(np.datetime64(first_stamp.replace(" ", "T"), "ms").astype(np.int64))
    text = metrics(clock_times(start, 288))
    content = read_archive_file("x", f"ZECUSDT-metrics-{date}.csv", text.encode(), vouched=True)
    assert content.rows.time_ms[0] == int(np.datetime64(sampled, "ms").astype(np.int64))
    assert content.rows.time_ms.size == 288
    assert content.rows.values[0].tolist() == [100, 5000]
    assert content.gaps == ()
    assert content.covered[0][1] - content.rows.time_ms[0] == DAY


def test_metrics_with_missing_and_repeated_slots() -> None:
    stamps = clock_times(OCT + 300_000, 288)
    text = metrics(stamps[:100] + stamps[110:])
    content = read_archive_file(
        "x", "ZECUSDT-metrics-2025-10-01.csv", (text + "\n" + text.splitlines()[1]).encode(), vouched=True
    )
    assert content.rows.time_ms.size == 278
    assert content.gaps == ((OCT + 101 * 300_000, OCT + 111 * 300_000),)
    assert "1 exact duplicate row dropped" in content.repairs[0]


def test_funding_is_snapped_and_signed() -> None:
    text = "calc_time,funding_interval_hours,last_funding_rate\n" + "\n".join(
        f"{OCT + hour * HOUR + 7},8,{-0.0145 if hour else 0.0001}" for hour in (0, 8, 16)
    )
    content = read_archive_file("x", "DASHUSDT-fundingRate-2025-10.csv", text.encode(), vouched=True)
    assert content.rows.time_ms.tolist() == [OCT, OCT + 8 * HOUR, OCT + 16 * HOUR]
    assert content.rows.values[:, 0].tolist() == [0.0001, -0.0145, -0.0145]
    assert content.covered == ((OCT, OCT + 31 * DAY),)


NAME = "ZECUSDT-1h-2025-10-01.zip"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"not a zip", "is not a complete zip file"),
        (b"", "is not a complete zip file"),
        (zipped(NAME, day_of_hours())[:-40], "is not a complete zip file"),
        (
            zipped(NAME, day_of_hours(), "../../etc/passwd"),
            "holds ../../etc/passwd, but ZECUSDT-1h-2025-10-01.csv alone",
        ),
        (zipped(NAME, day_of_hours(), "/tmp/x.csv"), "alone is expected"),
        (zipped(NAME, "open_time,open\n1,2\n"), "has no column high, low, close, volume"),
        (zipped(NAME, KLINE_HEADER + "\n"), "has no rows"),
        (zipped(NAME, day_of_hours() + "x,1,2,3,4,5,6,7,8,9,10,11\n"), "cannot be read as CSV"),
        (zipped(NAME, "1,2,3\n"), "has no column"),
        (zipped(NAME, kline(OCT).replace(",12,", ",8,")), "line 1, column high"),
        (zipped(NAME, b"\xff\xfe\x00garbage"), "has no column"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name(content: bytes, complaint: str) -> None:
    with pytest.raises(MarketError) as caught:
        read_archive_file(f"folder/{NAME}", NAME, content)
    assert complaint in str(caught.value)
    assert f"folder/{NAME}" in str(caught.value)


def test_a_damaged_member_and_two_members_are_refused() -> None:
    broken = bytearray(zipped(NAME, day_of_hours()))
    broken[60:80] = b"\x00" * 20
    with pytest.raises(MarketError, match="is not a complete zip file"):
        read_archive_file(NAME, NAME, bytes(broken))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as file:
        file.writestr("ZECUSDT-1h-2025-10-01.csv", day_of_hours())
        file.writestr("more.csv", "x")
    with pytest.raises(MarketError, match=r"holds ZECUSDT-1h-2025-10-01.csv, more.csv"):
        read_archive_file(NAME, NAME, sink.getvalue())


def test_a_zip_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 1 << 20)
    bomb = zipped(NAME, b"0" * (3 << 20))
    assert len(bomb) < 10_000
    with pytest.raises(MarketError, match="unpacks to more than"):
        read_archive_file(NAME, NAME, bomb)


def test_checksums_are_compared(tmp_path: Path) -> None:
    path = put(tmp_path, NAME, day_of_hours())
    assert read_archive_path(path).rows.time_ms.size == 24
    path.write_bytes(zipped(NAME, day_of_hours(hours=range(23))))
    with pytest.raises(MarketError, match=r"ZECUSDT-1h-2025-10-01.zip has sha256 \w{16}, but its checksum is \w{16}"):
        read_archive_path(path)
    for text in ("", "abc  " + NAME, "0" * 64 + "  other.zip", "<html>"):
        with pytest.raises(MarketError, match="which is not its sha256"):
            verify_checksum(NAME, b"", text)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Two months of a swap: October whole, November up to the 3rd by days; metrics and funding of October."""
    root = tmp_path / "mirror"
    um = root / "futures/um"
    october = "\n".join([KLINE_HEADER, *(kline(OCT + hour * HOUR) for hour in range(31 * 24))])
    put(um / "monthly/klines/ZECUSDT/1h", "ZECUSDT-1h-2025-10.zip", october)
    november = OCT + 31 * DAY
    for day in range(3):
        put(um / "daily/klines/ZECUSDT/1h", f"ZECUSDT-1h-2025-11-0{day + 1}.zip", day_of_hours(november + day * DAY))
    for day in range(33):
        start = OCT + day * DAY
        name = f"ZECUSDT-metrics-{np.datetime64(start, 'ms').astype('datetime64[D]')}.zip"
        if day != 20:
            put(um / "daily/metrics/ZECUSDT", name, metrics(clock_times(start + 300_000, 288)))
    rates = "\n".join(f"{OCT + 8 * hour * HOUR + 3},8,0.0001" for hour in range(93))
    put(
        um / "monthly/fundingRate/ZECUSDT",
        "ZECUSDT-fundingRate-2025-10.zip",
        f"calc_time,funding_interval_hours,last_funding_rate\n{rates}\n",
    )
    put(
        root / "spot/monthly/klines/ZECUSDT/1h",
        "ZECUSDT-1h-2025-10.zip",
        day_of_hours(header=False, micro=True, hours=range(31 * 24)),
    )
    return root


def test_a_folder_of_the_archive_is_imported(mirror: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    done = import_paths([mirror], store)
    assert {str(key): rows for key, rows in done.rows.items()} == {
        "binance ZEC/USDT ohlcv 1h": 744,
        "binanceusdm ZEC/USDT:USDT ohlcv 1h": 744 + 72,
        "binanceusdm ZEC/USDT:USDT oi 5m": 32 * 288,
        "binanceusdm ZEC/USDT:USDT ratios 5m": 32 * 288,
        "binanceusdm ZEC/USDT:USDT funding": 93,
    }
    again = import_paths([mirror], store)
    assert again.rows == {}
    assert again.again == 1 + 3 + 32 + 1 + 1
    assert all(store.problems(key) == [] for key in store.contents())
    key = Key.of("binanceusdm", "ZEC/USDT:USDT", "oi", "5m")
    assert store.missing(key, OCT, OCT + 33 * DAY) == ((OCT + 20 * DAY + 300_000, OCT + 21 * DAY),)
    market = open_stored(store, "binanceusdm")
    assert market.symbols == ("ZEC/USDT:USDT",)
    assert market.open.shape == (744 + 72, 1)
    # The sample stamped 00:55 is known at the close of the first hour, a period after its stamp.
    assert market.open_interest[0, 0] == 5000 + 10


BAR_FOLDERS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")


def flat_day(price: float, start: int = OCT) -> str:
    """Bars in which nothing trades, as the archive has mark prices, indices and premiums."""
    rows = (f"{start + hour * HOUR},{price},{price},{price},{price},0,1,0,12,0,0,0" for hour in range(24))
    return "\n".join([KLINE_HEADER, *rows]) + "\n"


@pytest.mark.parametrize("pace", ["daily", "monthly"])
def test_the_folder_tells_the_kind_of_bars(tmp_path: Path, pace: str) -> None:
    root, name = tmp_path / "futures/um" / pace, NAME if pace == "daily" else "ZECUSDT-1h-2025-10.zip"
    for number, folder in enumerate(BAR_FOLDERS):
        text = day_of_hours() if folder == "klines" else flat_day(number / (1 if number < 3 else -1000))
        put(root / folder / "ZECUSDT/1h", name, text)
    store = Store(tmp_path / "store")
    done = import_paths([tmp_path / "futures"], store)
    assert done.differing == dict.fromkeys(done.rows, 0)
    closes = {
        key.series: (key.symbol, set(store.read(key).values[:, 3].tolist()), store.read(key).time_ms.size)
        for key in store.contents()
    }
    swap = "ZEC/USDT:USDT"
    assert closes == {
        "ohlcv": (swap, {11.0}, 24),
        "mark": (swap, {1.0}, 24),
        "index": (swap, {2.0}, 24),
        "premium": (swap, {-0.003}, 24),
    }
    market = open_stored(store, "binanceusdm")
    for panel, value in (("close", 11), ("mark_price", 1), ("index_price", 2), ("premium", -0.003)):
        assert set(market.panel(panel)[:, 0].tolist()) == {value}


@pytest.mark.parametrize("folder", ["", "prices", "klines-backup"])
def test_bars_without_volume_are_no_trades_unless_something_says_so(tmp_path: Path, folder: str) -> None:
    path = put(tmp_path / "futures" / folder, NAME, flat_day(400))
    store = Store(tmp_path / "store")
    with pytest.raises(
        MarketError, match=r"has no volume in any bar.* keep the archive's folders .* or say which with"
    ):
        import_paths([path], store)
    assert store.contents() == ()
    import_paths([path], store, Said(series="mark"))
    assert [key.series for key in store.contents()] == ["mark"]


def test_a_folder_that_contradicts_the_name_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "futures/um/daily/metrics/ZECUSDT", NAME, day_of_hours())
    with pytest.raises(MarketError, match="is named as ohlcv, but its folder says oi: put it where it belongs"):
        import_paths([path], Store(tmp_path / "store"))


NOVEMBER = OCT + 31 * DAY


@pytest.mark.parametrize(
    ("checksum", "now", "whole"),
    [(True, NOVEMBER + DAY, True), (False, NOVEMBER + DAY, False), (True, NOVEMBER - DAY, False)],
)
def test_a_name_vouches_for_its_month_only_with_a_checksum_and_when_it_is_over(
    tmp_path: Path, checksum: bool, now: int, whole: bool
) -> None:
    um = tmp_path / "futures/um/monthly"
    text = "\n".join([KLINE_HEADER, *(kline(OCT + hour * HOUR) for hour in range(5 * 24))])
    put(um / "klines/ZECUSDT/1h", "ZECUSDT-1h-2025-10.zip", text, checksum=checksum)
    rates = "\n".join(f"{OCT + 8 * hour * HOUR},8,0.0001" for hour in range(15))
    put(
        um / "fundingRate/ZECUSDT",
        "ZECUSDT-fundingRate-2025-10.zip",
        f"calc_time,funding_interval_hours,last_funding_rate\n{rates}\n",
        checksum=checksum,
    )
    stamps = clock_times(OCT + 300_000, 100)
    put(
        tmp_path / "futures/um/daily/metrics/ZECUSDT",
        "ZECUSDT-metrics-2025-10-01.zip",
        metrics(stamps),
        checksum=checksum,
    )
    store = Store(tmp_path / "store")
    done = import_paths([tmp_path / "futures"], store, now_ms=now)
    missing = {key.series: store.missing(key, OCT, NOVEMBER) for key in store.contents()}
    if whole:
        assert (missing["ohlcv"], missing["funding"]) == ((), ())
        assert store.doubtful(Key.of("binanceusdm", "ZEC/USDT:USDT", "ohlcv", "1h"), OCT, NOVEMBER, old=True) == (
            (OCT + 5 * DAY, NOVEMBER),
        )
    else:
        assert missing["ohlcv"] == ((OCT + 5 * DAY, NOVEMBER),)
        assert missing["funding"] == ((OCT, NOVEMBER),)
        assert done.unvouched == (3 if not checksum else 2)
    sampled = OCT + DAY if checksum else OCT + 101 * 300_000
    assert any(start in (sampled, sampled + 300_000) for start, _ in missing["oi"])


def test_a_file_without_a_checksum_is_read_again_once_it_has_one(tmp_path: Path) -> None:
    folder = tmp_path / "futures/um/daily/klines/ZECUSDT/1h"
    put(folder, NAME, day_of_hours(hours=range(20)), checksum=False)
    store = Store(tmp_path / "store")
    key = Key.of("binanceusdm", "ZEC/USDT:USDT", "ohlcv", "1h")
    import_paths([folder], store)
    assert import_paths([folder], store).again == 1
    assert store.missing(key, OCT, OCT + DAY) == ((OCT + 20 * HOUR, OCT + DAY),)
    put(folder, NAME, day_of_hours(hours=range(20)))
    assert import_paths([folder], store).again == 0
    assert store.missing(key, OCT, OCT + DAY) == ()
    assert import_paths([folder], store).again == 1


def test_what_is_of_the_future_is_refused_and_a_bar_that_is_not_over_left_out(tmp_path: Path) -> None:
    path = put(tmp_path / "futures/um/daily/klines/ZECUSDT/1h", NAME, day_of_hours())
    with pytest.raises(MarketError, match=r"has a row of 2025-10-01 23:00, which is after now \(2025-10-01 12:30\)"):
        import_paths([path], Store(tmp_path / "one"), now_ms=OCT + 12 * HOUR + HOUR // 2)
    store = Store(tmp_path / "two")
    done = import_paths([path], store, now_ms=OCT + 23 * HOUR + HOUR // 2)
    assert "ZECUSDT-1h-2025-10-01.zip: the bar of 2025-10-01 23:00 left out: it is not over yet" in done.notes
    key = Key.of("binanceusdm", "ZEC/USDT:USDT", "ohlcv", "1h")
    assert store.read(key).time_ms[-1] == OCT + 22 * HOUR
    assert store.missing(key, OCT, OCT + DAY)[0][0] == OCT + 23 * HOUR


class Flaky(SimpleHTTPRequestHandler):
    """Serves a folder; the first answers to each address are bad in turn."""

    asked: dict[str, int]
    faulty: bool

    def do_GET(self) -> None:
        turn = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.faulty and turn <= 4 and Path(self.translate_path(self.path)).exists():
            body = Path(self.translate_path(self.path)).read_bytes()
            if turn == 1:
                self.send_error(503)
                return
            if turn == 2:
                self.answer(body[: len(body) // 2], len(body))
                self.close_connection = True
                return
            if turn == 3:
                self.answer(body[:-1] + b"!", len(body))
                return
        super().do_GET()

    def answer(self, body: bytes, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def served(mirror: Path) -> Iterator[Callable[[bool], tuple[str, dict[str, int]]]]:
    servers = []

    def start(faulty: bool) -> tuple[str, dict[str, int]]:
        asked: dict[str, int] = {}
        handler = type("Bound", (Flaky,), {"asked": asked, "faulty": faulty})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(mirror)))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def downloader(store: Store, url: str, **more: object) -> ArchiveDownloader:
    values = {
        "name": "zec",
        "exchange": ExchangeChoice(id="binanceusdm"),
        "symbols": ("ZEC/USDT:USDT",),
        "timerange": "20251001-20251103",
        **more,
    }
    patience = Patience(attempts=5, doubtful=5, first=0.001, longest=0.002)
    return ArchiveDownloader(Recipe(**values), store, url, patience=patience, clock=lambda: OCT + 34 * DAY)  # type: ignore[arg-type]


@pytest.mark.parametrize("faulty", [False, True])
def test_the_archive_is_fetched_with_checksums_and_names_what_it_lacks(
    served: Callable[[bool], tuple[str, dict[str, int]]], tmp_path: Path, faulty: bool
) -> None:
    url, asked = served(faulty)
    store = Store(tmp_path / "store")
    report = downloader(store, url).run()
    rows = {fetched.key.series: fetched.rows for fetched in report.series}
    assert rows == {"ohlcv": 744 + 48, "oi": 32 * 288, "funding": 93}
    complaint = report.complaint()
    assert "oi 5m: missing 2025-10-21 00:05 to 2025-10-22 00:00 (the archive has no file of it)" in complaint
    assert "funding: missing 2025-11-01 00:00 to 2025-11-03 00:00" in complaint
    assert "ohlcv" not in complaint
    before = len(asked)
    again = downloader(store, url, timerange="20251001-20251101", series=("ohlcv",)).run()
    assert again.complaint() == ""
    assert len(asked) == before, "what is in the store is not asked for again"
    assert open_stored(store, "zec").open.shape == (744, 1)


def test_the_command_fetches_the_archive_and_runs_on_it(
    served: Callable[[bool], tuple[str, dict[str, int]]], tmp_path: Path
) -> None:
    url, _ = served(False)

    def backtest(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "backtest", *arguments, "--store", str(tmp_path / "store")]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)

    fetched = backtest(
        "fetch", "--archive", "--archive-url", url, "--exchange", "binanceusdm", "--symbols", "ZEC/USDT:USDT",
        "--series", "ohlcv", "--timerange", "20251001-20251101", "--name", "archived",
    )  # fmt: skip
    assert fetched.returncode == 0, fetched.stderr
    assert "744" in fetched.stdout
    out = str(tmp_path / "out")
    ran = backtest("run", "-d", "archived", "-s", "buy_and_hold", "--placebo", "0", "--bootstrap", "0", "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert "archived: 744 bars of 1h, 2025-10-01 00:00 to 2025-10-31 23:00 UTC" in ran.stdout


def test_a_file_that_never_matches_its_checksum_is_never_stored(
    served: Callable[[bool], tuple[str, dict[str, int]]], tmp_path: Path, mirror: Path
) -> None:
    name = "ZECUSDT-1h-2025-10.zip"
    (mirror / "futures/um/monthly/klines/ZECUSDT/1h" / f"{name}.CHECKSUM").write_text("0" * 64 + f"  {name}\n")
    url, _ = served(False)
    store = Store(tmp_path / "store")
    report = downloader(store, url, timerange="20251001-20251101", series=("ohlcv",)).run()
    assert "its checksum is 0000000000000000" in report.complaint()
    assert "missing 2025-10-01 00:00 to 2025-11-01 00:00" in report.complaint()
    assert store.contents() == ()


def test_only_binance_has_this_archive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`archive` is Binance's, but the exchange is 'bybit'"):
        downloader(Store(tmp_path), "http://127.0.0.1:1", exchange=ExchangeChoice(id="bybit")).run()
