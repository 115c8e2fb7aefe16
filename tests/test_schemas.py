"""The published schemas hold for what the tool writes today, and fail for what it does not."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from typer.testing import CliRunner, Result

from backtest.base.config import RunConfig
from backtest.base.errors import BacktestError
from backtest.base.schemas import VERSION, schema, schema_id
from backtest.catalysts.claims import VERDICTS as CLAIM_VERDICTS
from backtest.cli import app
from backtest.engine.layout import COSTS, EXITS, PHASES, STATISTICS, VERDICTS
from backtest.request.request import Request
from backtest.scoring.placebo import KINDS, TESTABLE
from backtest.scoring.scorecard import Verdict
from backtest.study.settings import StudyConfig
from tests.cli.test_audit import PEEKING
from tests.cli.test_run import BARS

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[1] / "backtest" / "base" / "schemas"


def _is_utc(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@cache
def validator(name: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, FormatChecker  # four seconds: only in the process that checks

    checker = FormatChecker(())
    checker.checks("date-time", raises=ValueError)(_is_utc)
    return Draft202012Validator(schema(name), format_checker=checker)


def faults(document: dict[str, Any]) -> list[str]:
    found = validator(document["schema"].removeprefix("backtest.").partition("/")[0]).iter_errors(document)
    return [f"{one.json_path}: {one.message[:200]}" for one in found]


def printed(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = call(*arguments, "--json")
    if isinstance(done.exception, BacktestError):
        assert done.exception.exit_code == code, done.exception
    else:
        assert done.exit_code == code, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A document of each verb, with what is rare in it: a leak, an infinity, a refusal, a store that is not empty."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("documents")
        patch.chdir(folder)
        patch.setenv("BACKTEST_LEDGER", "ledger.sqlite")
        Path("bars").mkdir()
        Path("bars/ZECUSDT-1h.csv").write_text(BARS)
        Path("peeking.py").write_text(PEEKING)
        momentum, quick = ("-s", "catalyst_momentum"), ("--placebo", "100")
        run = ("run", *momentum, "-s", "relative_value", *quick, "--bootstrap", "100", "--set", "participation=inf")
        search = (*momentum, "-p", "hold=24h,48h", "-p", "stop_loss=0.1,0.2", *quick)
        silent = ("-s", "listing_fade", "-p", "least_rise=9")
        made = {
            "run": printed(*run, "--out", "run"),
            "run of one without trades": printed("run", *silent, *quick, "--out", "none"),
            "sweep": printed("sweep", *search, "--spa", "--out", "sweep"),
            "sweep of one": printed("sweep", *momentum, "-p", "hold=24h", "--placebo", "0", "--out", "one"),
            "walkforward": printed("walkforward", *search, "--out", "walk"),
            "study": printed("study", "--timeframe", "4h", "--set", "draws=30", "--after", "1d", "--group", "kind"),
            "claims": printed("events", "claims", "--subject", "ZEC"),
            "strategies": printed("strategies"),
            "audit": printed("audit", "-s", "listing_fade", "-s", "peeking.py", "--cuts", "5", code=5),
            "events": printed("events", "list", "-c", "privacy-2025", "-c", "privacy-history"),
        }
        made["ledger of a run"] = json.loads(Path("run/ledger.json").read_text())
        made["ledger of a sweep"] = json.loads(Path("sweep/ledger.json").read_text())
        made["ledger"] = printed("ledger", "list")
        made["run of a walkforward"] = json.loads(Path("walk/run.json").read_text())
        assert call("data", "import", "bars", "--venue", "gate", "--kind", "swap", "--store", "shelf").exit_code == 0
        made["data"] = printed("data", "list", "--store", "shelf")
        made["data-compare"] = printed("data", "compare", "gate", "privacy-2025-sample", "--store", "shelf")
        assert call("baseline", "record", *momentum, *quick).exit_code == 0
        (path,) = Path("baselines").rglob("*.json")
        made["baseline"] = json.loads(path.read_text())
        made["baseline-check"] = printed("baseline", "check")
        path.write_text(path.read_text().replace('"hold": "72h"', '"hold": "71h"'))
        made["baseline-check of a regression"] = printed("baseline", "check", code=4)
        path.write_text("{}")
        made["baseline-check of a refusal"] = printed("baseline", "check", code=3)
    return made


def test_every_verb_writes_what_its_schema_says(documents: dict[str, dict[str, Any]]) -> None:
    assert {name.partition(" ")[0] for name in documents} == set(VERSION)
    for name, document in documents.items():
        assert document["schema"] == schema_id(name.partition(" ")[0])
        assert faults(document) == [], name


def test_a_run_may_write_down_every_default_of_its_request(documents: dict[str, dict[str, Any]]) -> None:
    """As `Request().model_dump()` gives them in Python: no setting added later may refuse its own default."""
    whole = {**documents["run"], "request": Request().model_dump(mode="json")}
    assert faults(whole) == []


def test_the_rare_is_among_them(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["audit"]["audits"][1]["leak"] is not None
    assert documents["run"]["config"]["participation"] == "Infinity"
    assert documents["run of a walkforward"]["request"] is None
    assert documents["sweep"]["superior_ability"] is not None
    assert documents["sweep of one"]["placebo"] is None
    assert documents["data"]["series"][0]["rows"] == 96
    statuses = [one["files"][0]["status"] for name, one in documents.items() if name.startswith("baseline-check")]
    assert statuses == ["passed", "regressed", "refused"]
    for name in ("trades", "rejected", "catalysts"):
        assert documents["run"]["strategies"][0][name]


def wrong(value: Any) -> Any:
    """A value that no key of another type may hold."""
    return {"wrong": {}} if not isinstance(value, dict) else 1.5


def objects(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of the objects in a document; of a list the first item only."""
    if isinstance(value, dict):
        yield path
        for key, part in value.items():
            yield from objects(part, (*path, key))
    elif isinstance(value, list) and value:
        yield from objects(value[0], (*path, 0))


def shortened(value: Any) -> Any:
    """Lists cut to their first item, but for those of numbers."""
    if isinstance(value, dict):
        return {key: shortened(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [shortened(value[0])]
    return value


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


@pytest.mark.parametrize("name", sorted(VERSION))
def test_a_changed_document_fails(name: str, documents: dict[str, dict[str, Any]]) -> None:
    """Each key of the document and of the first of each list in it: taken away, of another type, one too many."""
    small = shortened(documents[name])
    assert faults(small) == []
    closed = 0
    for path in objects(small):
        holder = at(small, path)
        more = copy.deepcopy(small)
        at(more, path)["surprise"] = {"wrong": {}}
        if not faults(more):
            # Only tables that are open by design, and what is below them: a strategy's parameters and an intent.
            assert {"parameters", "decision"} & set(path), path
            continue
        closed += 1
        for key in holder:
            if key == "schema":
                continue
            other = copy.deepcopy(small)
            at(other, path)[key] = wrong(holder[key])
            assert faults(other) or key == "default", (path, key)
    for key in set(small) - {"schema"}:
        assert faults({one: value for one, value in small.items() if one != key}), key
    assert faults({**small, "schema": f"backtest.{name}/{VERSION[name] + 1}"})
    assert closed


@pytest.mark.parametrize("name", sorted(VERSION))
def test_a_schema_is_one(name: str) -> None:
    read = schema(name)
    type(validator(name)).check_schema(read)
    assert read["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert read["$id"] == f"urn:privacy-event-backtest:{name}:{VERSION[name]}"
    assert read["properties"]["schema"]["const"] == schema_id(name) == f"backtest.{name}/{VERSION[name]}"
    assert read["required"] == list(read["properties"])
    assert read["additionalProperties"] is False
    used = set()
    for path in objects(read):
        part = at(read, path)
        if path and path[-1] in ("properties", "$defs"):
            for key, value in part.items():
                assert {"description", "$ref"} & set(value), (path, key)
        if part.get("type") == "object":
            assert "additionalProperties" in part or path[-1] in ("parameters", "decision"), path
        used.add(part.get("$ref"))
    written = json.dumps(read)
    assert all(f'"#/$defs/{one}"' in written for one in read.get("$defs", {}))


def test_every_file_has_a_name_and_a_definition_one_meaning() -> None:
    files = {f"{name}-{step}.schema.json" for name in VERSION for step in range(1, VERSION[name] + 1)}
    assert {path.name for path in FOLDER.glob("*.json")} == files
    assert list(VERSION) == sorted(VERSION)
    seen: dict[str, Any] = {}
    for name in VERSION:
        for key, value in schema(name).get("$defs", {}).items():
            assert seen.setdefault(key, value) == value, f"{key} of {name} is another in a schema before it"


def test_the_schemas_name_what_the_code_names() -> None:
    run, study = schema("run")["$defs"], schema("study")["$defs"]
    for name, model in (("run_config", RunConfig), ("study_config", StudyConfig)):
        rule = (run if name in run else study)[name]
        assert list(rule["properties"]) == list(model.model_fields)
        # What has a neutral value is left out while it has it.
        later = {key for key, field in model.model_fields.items() if "neutral" in (field.json_schema_extra or {})}
        assert set(rule["required"]) == set(model.model_fields) - later
    assert list(run["request"]["properties"]) == list(Request.model_fields)
    assert run["evidence"]["properties"]["verdict"]["enum"] == list(get_args(Verdict))
    assert all(re.fullmatch(run["placebo"]["properties"]["kind"]["pattern"], kind) for kind in KINDS)
    assert run["placebo"]["properties"]["statistic"]["enum"] == list(TESTABLE)
    assert run["trade"]["properties"]["reason"]["enum"] == [one.name for one in EXITS[1:]]
    assert run["trade"]["properties"]["exit_phase"]["enum"] == [phase.name for phase in PHASES]
    assert run["rejection"]["properties"]["reason"]["enum"] == [verdict.name for verdict in VERDICTS[1:]]
    assert list(run["ledger"]["properties"]) == ["gross", *COSTS, "net"]
    assert set(STATISTICS) < set(schema("sweep")["$defs"]["best"]["properties"])
    assert schema("claims")["$defs"]["claim"]["properties"]["verdict"]["enum"] == list(CLAIM_VERDICTS)


def test_the_verb_lists_and_prints_them() -> None:
    listed = call("schema").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [schema_id(name) for name in VERSION]
    assert call("schema", "run").stdout == (FOLDER / f"run-{VERSION['run']}.schema.json").read_text()
    done = call("schema", "runs")
    assert isinstance(done.exception, BacktestError)
    assert done.exception.exit_code == 2
    assert str(done.exception).startswith("schema 'runs' is unknown; did you mean 'run'?")
