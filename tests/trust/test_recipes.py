"""What a recipe changes about where data come from is named; plain http and unverified certificates need a flag."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backtest.base.errors import ConfigError, UsageError
from backtest.cli import app
from backtest.market.archive_download import ArchiveDownloader
from backtest.market.ccxt_source import Venue
from backtest.market.download import Downloader
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import Key
from backtest.market.store import Store
from backtest.market.transport import CheckedSession, MalformedAnswer, Patience, _leads_away
from tests.market.loopback import NOW, Listing, Loopback, options, serving

ZEC = "ZEC/USDT:USDT"
QUICK = Patience(attempts=1, doubtful=1, first=0.001, longest=0.002)
API = {"urls": {"api": {"public": "https://evil.example", "spot": "https://evil.example"}}}


def venue(given: dict[str, Any], insecure: bool = False) -> Venue:
    return Venue("bybit", given, threading.Event(), QUICK, insecure=insecure)


NAMED = {
    "hostname": ({"hostname": "evil.example"}, "asked at https://api.evil.example"),
    "urls": (API, "asked at https://evil.example"),
    "proxy of https": ({"httpsProxy": "http://user:secret@evil.example:3128"}, "through httpsProxy http://evil.example:3128"),
    "proxy": ({"proxyUrl": "https://evil.example/?"}, "through proxyUrl https://evil.example"),
    "own certificates": ({"verify": "/tmp/ca.pem"}, "certificates of /tmp/ca.pem"),
}  # fmt: skip
UNSAFE = {
    "verify": ({"verify": False}, "certificates are not verified"),
    "zero": ({"verify": 0}, "certificates are not verified"),
    "http": ({"urls": {"api": {"public": "http://evil.example"}}}, "http://evil.example is plain http"),
    "http in capitals": ({"urls": {"api": "HTTP://evil.example"}}, "evil.example is plain http"),
    "the venue itself by http": ({"urls": {"api": {"public": "http://api.bybit.com"}}}, "is plain http"),
    "prefix": ({"proxyUrl": "http://evil.example/?"}, "proxyUrl http://evil.example is plain http"),
    "host that is not loopback": ({"urls": {"api": {"public": "http://127.0.0.1.evil.example"}}}, "is plain http"),
}


@pytest.mark.parametrize("name", NAMED)
def test_another_way_is_named_and_goes_into_the_manifest(name: str) -> None:
    given, told = NAMED[name]
    opened = venue(given)
    assert told in opened.route.words
    assert told in opened.source
    assert "secret" not in opened.source


@pytest.mark.parametrize("name", UNSAFE)
def test_an_open_way_needs_the_flag(name: str) -> None:
    given, told = UNSAFE[name]
    with pytest.raises(ConfigError, match="accept it with `insecure`") as refused:
        venue(given)
    assert told in str(refused.value)
    accepted = venue(given, insecure=True)
    assert told in accepted.source


def test_the_venues_own_way_is_not_named() -> None:
    for given in ({}, {"verify": True}, {"timeout": 4000, "options": {"defaultType": "swap"}}):
        assert venue(given).route.words == ""
    assert " at " not in venue({}).source


def test_a_download_says_it_first_and_its_manifest_keeps_it(tmp_path: Path) -> None:
    state = Loopback({"ZECUSDT": Listing("ZEC", NOW - 400 * 86_400_000)})
    said: list[str] = []
    with serving(state):
        recipe = Recipe(
            name="x",
            exchange=ExchangeChoice(id="bybit", options=options("bybit", state.url)),
            symbols=(ZEC,),
            series=("ohlcv",),
            timerange="20251101-20251102",
        )
        store = Store(tmp_path)
        Downloader(recipe, store, patience=QUICK, clock=lambda: NOW, say=said.append).run()
    assert said[0].startswith(f"bybit: asked at {state.url}")
    manifest = store.manifest(Key.of("bybit", ZEC, "ohlcv", "1h"))
    assert manifest is not None
    assert f"asked at {state.url}" in manifest.sources[0]


def test_the_command_line_refuses_before_it_asks(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'name = "x"\nsymbols = ["ZEC/USDT:USDT"]\ntimerange = "20251101-20251102"\n'
        '[exchange]\nid = "bybit"\n[exchange.options]\nverify = false\n'
    )
    done = CliRunner().invoke(app, ["fetch", str(tmp_path / "r.toml"), "--store", str(tmp_path / "s")])
    assert isinstance(done.exception, ConfigError)
    assert "`insecure`" in str(done.exception)
    (tmp_path / "c.json").write_text(json.dumps({"urls": {"api": {"public": "http://evil.example"}}}))
    words = ["data", "record", "--exchange", "bybit", "--symbols", ZEC, "--exchange-config", str(tmp_path / "c.json")]
    done = CliRunner().invoke(app, [*words, "--store", str(tmp_path / "s")])
    assert isinstance(done.exception, ConfigError)


def test_an_archive_by_plain_http_needs_the_flag(tmp_path: Path) -> None:
    recipe = Recipe(
        name="x",
        exchange=ExchangeChoice(id="binanceusdm"),
        symbols=(ZEC,),
        series=("ohlcv",),
        timerange="20251101-20251102",
    )
    with pytest.raises(UsageError, match="is plain http, so that anybody on the way can change the data"):
        ArchiveDownloader(recipe, Store(tmp_path), "http://mirror.example/data").run()


class Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/end":
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")
            return
        host = "localhost" if self.path == "/away" else "127.0.0.1"
        self.send_response(302)
        self.send_header("Location", f"http://{host}:{self.server.server_address[1]}/end")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        return


def test_a_redirection_to_another_host_is_no_answer() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with CheckedSession() as session:
            session.trust_env = False
            assert session.get(f"{address}/near").json() == []
            with pytest.raises(
                MalformedAnswer, match=r"a redirection from http://127.0.0.1:\d+/away to http://localhost"
            ):
                session.get(f"{address}/away")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_a_redirection_out_of_encryption_is_no_answer() -> None:
    assert _leads_away("https://a.example/x", "http://a.example/x")
    assert not _leads_away("http://a.example/x", "https://a.example/x")
