"""Checks a document against its JSON Schema; supports only the keywords that this project's schemas use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from backtest.base.errors import shortened

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def fault_of(document: Any, schema: dict[str, Any]) -> str:
    """The first place in a document that its schema does not allow, and why; empty if the document is valid."""
    return next(islice(_faults(document, schema, schema, "the document"), 1), "")


def _faults(value: Any, rule: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[str]:
    if "$ref" in rule:
        yield from _faults(value, root["$defs"][rule["$ref"].removeprefix("#/$defs/")], root, place)
    if "anyOf" in rule:
        tried = [list(islice(_faults(value, one, root, place), 1)) for one in rule["anyOf"]]
        if all(tried):
            yield tried[0][0]
    if "type" in rule:
        names = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        if not any(_is(value, name) for name in names):
            yield f"{place} is {shortened(value)}, not of type {' or '.join(names)}"
            return
    if ("const" in rule and value != rule["const"]) or ("enum" in rule and value not in rule["enum"]):
        yield f"{place} is {shortened(value)}, not {rule.get('const') or ', '.join(map(str, rule['enum']))}"
    if isinstance(value, str):
        yield from _text_faults(value, rule, place)
    elif isinstance(value, dict):
        yield from _object_faults(value, rule, root, place)
    elif isinstance(value, list):
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            yield f"{place} has {len(value)} items"
        for number, one in enumerate(value):
            yield from _faults(one, rule.get("items", {}), root, f"{place}[{number}]")
    elif value is not None and "minimum" in rule and value < rule["minimum"]:
        yield f"{place} is {shortened(value)}, below {rule['minimum']}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name]) or (name == "integer" and isinstance(value, float) and value.is_integer())


def _text_faults(value: str, rule: dict[str, Any], place: str) -> Iterator[str]:
    if "pattern" in rule and not re.search(rule["pattern"], value):
        yield f"{place} is {shortened(value)}, not of the form {rule['pattern']}"
    if rule.get("format") == "date-time":
        try:
            known = datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            known = False
        if not known:
            yield f"{place} is {shortened(value)}, no time with a zone"


def _object_faults(value: dict[str, Any], rule: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[str]:
    absent = [name for name in rule.get("required", ()) if name not in value]
    if absent:
        yield f"{place} has no {absent[0]!r}"
    others = rule.get("additionalProperties", {})
    for name, one in value.items():
        inner = rule.get("properties", {}).get(name, others)
        where = name[:80] if place == "the document" else f"{place}.{name[:80]}"
        if inner is False:
            yield f"{place} has an unknown key {shortened(name)}"
        else:
            yield from _faults(one, {} if inner is True else inner, root, where)
