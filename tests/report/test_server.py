"""The pages of a workspace over loopback: what they show, and who is turned away."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backtest.ledger.recording import record_evaluation
from backtest.ledger.store import Ledger
from backtest.report.folder import run_document, to_json, write_run_folder, write_text
from backtest.report.ledger_tables import recorded_document
from backtest.report.server import WorkspaceServer
from backtest.report.workspace_pages import Pages
from backtest.request.request import Request
from tests.report import browser as chromium

NAMES = ("short", "long")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in a ledger, a folder that is no run, one whose run.json is broken, and a secret outside."""
    root = tmp_path_factory.mktemp("work")
    for name, hold in zip(NAMES, ("24h", "72h"), strict=True):
        request = Request(strategies=("catalyst_momentum",), parameters={"hold": hold}, placebo="99", bootstrap=0)
        evaluation = request.evaluate()
        folder = root / "runs" / name
        write_run_folder(folder, evaluation.runs, run_document(evaluation, request.model_dump()))
        with Ledger(root / "ledger.sqlite") as ledger:
            recorded = record_evaluation(ledger, evaluation, request)
        write_text(folder / "ledger.json", to_json(recorded_document(recorded)))
    (root / "runs" / "short" / "report.html").write_text("<h1>stored</h1>")
    (root / "runs" / "nothing").mkdir()
    (root / "runs" / "broken").mkdir()
    (root / "runs" / "broken" / "run.json").write_text("{<script>")
    outside = root / "outside"
    shutil.copytree(root / "runs" / "long", outside)
    (root / "runs" / "linked").symlink_to(outside)
    (root / "runs" / "long" / "report.html").symlink_to(root / "secret.html")
    (root / "secret.html").write_text("secret")
    return root


@pytest.fixture(scope="module")
def server(work: Path) -> Iterator[WorkspaceServer]:
    made = WorkspaceServer(Pages(work / "runs", work / "ledger.sqlite"))
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def ask(
    server: WorkspaceServer, path: str, *, token: str | None = None, host: str | None = None, method: str = "GET"
) -> Answer:
    """One request with the token as the cookie (or another one), and any Host."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    link.putrequest(method, path, skip_host=True)
    link.putheader("Host", f"127.0.0.1:{server.port}" if host is None else host)
    kept = server.token if token is None else token
    if kept:
        link.putheader("Cookie", f"{server.cookie}={kept}")
    link.endheaders()
    answer = link.getresponse()
    found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
    link.close()
    return found


def test_runs_and_trials_are_listed(server: WorkspaceServer, work: Path) -> None:
    page = ask(server, "/")
    assert page.status == 200
    for name in NAMES:
        assert f'name="run" value="{name}"' in page.text
    assert "RECONSTRUCTED" in page.text
    assert page.text.count('name="trial"') == 2
    assert "hold=24h" in page.text
    assert "hold=72h" in page.text
    assert "broken/run.json" in page.text
    assert "<script>" not in page.text
    assert 'value="nothing"' not in page.text
    assert 'value="linked"' not in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    document = json.loads((work / "runs" / "long" / "run.json").read_text())
    assert f"{document['strategies'][0]['scores']['net_return']['value']:+.1%}" in page.text


def test_a_report_has_no_origin_and_a_run_without_one_shows_its_scores(server: WorkspaceServer) -> None:
    stored = ask(server, "/run?name=short")
    assert (stored.status, stored.text) == (200, "<h1>stored</h1>")
    assert stored.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in stored.headers["content-security-policy"]
    # Its report.html is a link that leads out of its folder.
    plain = ask(server, "/run?name=long")
    assert plain.status == 200
    assert "secret" not in plain.text
    assert "There is no report yet" in plain.text
    assert "Return and risk" in plain.text


def test_two_runs_and_two_trials_are_compared(server: WorkspaceServer) -> None:
    runs = ask(server, "/compare?run=short&run=long")
    assert runs.status == 200
    assert "Runs side by side" in runs.text
    assert "two-sided p" in runs.text
    assert "left by time" in runs.text
    assert "<svg" in runs.text
    one, other = re.findall(r'name="trial" value="(\d+)"', ask(server, "/").text)
    trials = ask(server, f"/trials?trial={one}&trial={other}")
    assert trials.status == 200
    assert "parameters.hold" in trials.text
    assert "two-sided p" in trials.text
    for path, said in (
        ("/compare?run=short", "1 run is nothing to compare"),
        ("/compare", "0 run is nothing to compare"),
        ("/trials?trial=1", "1 trials are chosen: tick two"),
        ("/trials?trial=1&trial=x", "tick two"),
        (f"/trials?trial={one}&trial=99", "the ledger has no trial 99"),
    ):
        answer = ask(server, path)
        assert (answer.status, said in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("path", ["/", "/run?name=short", "/compare?run=short&run=long", "/trials?trial=1&trial=2"])
def test_without_the_token_nothing_is_told(server: WorkspaceServer, path: str) -> None:
    for token in ("", "wrong", server.token[:-1], server.token + "x", "\u00e9".encode().decode("latin-1")):
        answer = ask(server, path, token=token)
        assert answer.status == 403
        assert answer.text == "the token is missing or wrong: open the address that was printed\n"
    joined = f"{path}{'&' if '?' in path else '?'}token=wrong"
    assert ask(server, joined, token="").status == 403


def test_the_token_moves_from_the_address_into_a_cookie(server: WorkspaceServer) -> None:
    entered = ask(server, f"/?token={server.token}", token="")
    assert (entered.status, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith(f"{server.cookie}={server.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert len(server.token) >= 32
    assert WorkspaceServer.__init__.__defaults__[1] == ""  # type: ignore[index]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_another_name_for_this_host_is_turned_away(server: WorkspaceServer, host: str) -> None:
    answer = ask(server, "/", host=host.format(port=server.port))
    assert answer.status == 421
    assert "127.0.0.1 and localhost only" in answer.text
    assert ask(server, "/", host=f"localhost:{server.port}").status == 200


@pytest.mark.parametrize(
    "name",
    ["..", "../secret.html", "..%2F..%2Fsecret.html", "%2Fetc%2Fpasswd", "short/../long", ".", "", "linked", "nothing",
     "short%00", "..%5C..%5Csecret.html", "outside"],
)  # fmt: skip
def test_no_path_leads_out(server: WorkspaceServer, name: str) -> None:
    answer = ask(server, f"/run?name={name}")
    assert answer.status == 400
    assert "no run of that name" in answer.text
    assert ask(server, f"/compare?run=short&run={name}").status == 400


@pytest.mark.parametrize(
    "path", ["/../secret.html", "/runs/short/run.json", "/%2e%2e/secret.html", "//secret.html", "/run/"]
)
def test_only_the_four_pages_exist(server: WorkspaceServer, path: str) -> None:
    assert ask(server, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: WorkspaceServer, work: Path, method: str) -> None:
    before = {one: one.stat().st_mtime_ns for one in work.rglob("*") if one.is_file()}
    assert ask(server, "/run?name=short", method=method).status == 501
    head = ask(server, "/", method="HEAD")
    assert (head.status, head.text) == (200, "")
    assert int(head.headers["content-length"]) > 1000
    assert {one: one.stat().st_mtime_ns for one in work.rglob("*") if one.is_file()} == before


def test_it_listens_on_loopback_only(server: WorkspaceServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_two_runs_are_compared_by_clicking(server: WorkspaceServer, tmp_path: Path) -> None:
    chromium.required()
    with chromium.browser(tmp_path) as window:
        window.resize(1440)
        # A click answers before the page that it leads to has come.
        headed = (
            "return document.readyState === 'complete' && document.querySelector('h1').textContent === arguments[0]"
        )
        window.open(server.address)
        assert window.run("return location.pathname + location.search") == "/"
        window.run(
            "for (const one of document.querySelectorAll('input[name=trial]')) one.click();"
            "document.querySelector('#trials button').click();"
        )
        window.until(headed, "Two trials")
        window.run("document.querySelector('header a').click()")
        window.until(headed, "Runs and trials")
        window.run(
            "for (const one of document.querySelectorAll('input[name=run]')) one.click();"
            "document.querySelector('#runs button').click();"
        )
        window.until(headed, "Runs side by side")
        assert [one for one in window.log("browser") if "favicon" not in one["message"]] == []
