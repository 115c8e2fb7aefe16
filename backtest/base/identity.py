"""What a document states and a hash covers: the settings that have an effect.

A setting added after the first release names its neutral value, under which nothing changes. A setting at its neutral
value is left out of documents and hashes, so that adding a setting changes no recorded run.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

SHORT = 16
"""Hexadecimal digits of a sha256 that are shown and compared."""


def neutral(value: Any) -> dict[str, Any]:
    """Argument `json_schema_extra` of a pydantic Field: the value under which the setting changes nothing."""
    return {"neutral": value}


def unsaid(model: BaseModel) -> set[str]:
    """Names of the fields that have their neutral value."""
    found = set()
    for name, field in type(model).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "neutral" in extra and getattr(model, name) == extra["neutral"]:
            found.add(name)
    return found


def document_of(model: BaseModel) -> dict[str, Any]:
    """The fields that have an effect, as JSON values."""
    said: dict[str, Any] = json.loads(model.model_dump_json(exclude=unsaid(model)))
    return said


def hash_of(model: BaseModel) -> str:
    """First 16 hex digits of the sha256 of the fields that have an effect, as JSON in order of declaration."""
    return hashlib.sha256(model.model_dump_json(exclude=unsaid(model)).encode()).hexdigest()[:SHORT]
