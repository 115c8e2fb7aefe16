"""Dataclasses validated by pydantic's core, without pydantic: importing that takes longer than to list a calendar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Any, TypeVar

from pydantic_core import ArgsKwargs, CoreSchema, SchemaValidator, core_schema

Class = TypeVar("Class", bound=type)


def validated(schemas: Mapping[str, CoreSchema]) -> Callable[[Class], Class]:
    """Decorator of a dataclass with slots: a call of it validates the value of each field by the schema of its name.

    A default is not validated, and an unknown name is refused. `__post_init__` refuses values together by a
    `ValueError`. A fault raises pydantic's `ValidationError`; see `backtest.base.documents.worded`.
    """

    def decorate(model: Class) -> Class:
        arguments = [_argument(one, schemas[one.name]) for one in fields(model)]
        schema = core_schema.dataclass_schema(
            model,
            core_schema.dataclass_args_schema(model.__name__, arguments),
            list(schemas),
            post_init=hasattr(model, "__post_init__"),
            slots=True,
            config=core_schema.CoreConfig(title=model.__name__, extra_fields_behavior="forbid"),
        )
        validator = SchemaValidator(schema)

        @wraps(model.__init__)  # type: ignore[misc]
        def call(self: Any, /, *values: Any, **named: Any) -> None:
            validator.validate_python(ArgsKwargs(values, named), self_instance=self)

        model.__init__ = call  # type: ignore[misc]
        # Under the names that pydantic itself reads.
        model.__pydantic_core_schema__, model.__pydantic_validator__ = schema, validator  # type: ignore[attr-defined]
        return model

    return decorate


def schema_of(model: type) -> CoreSchema:
    """Schema of a `validated` dataclass, for those that hold it."""
    schema: CoreSchema = vars(model)["__pydantic_core_schema__"]
    return schema


def validator_of(model: type) -> SchemaValidator:
    """Makes a `validated` dataclass of the keys of a document."""
    validator: SchemaValidator = vars(model)["__pydantic_validator__"]
    return validator


def _argument(field: Field[Any], schema: CoreSchema) -> core_schema.DataclassField:
    if field.default is not MISSING:
        schema = core_schema.with_default_schema(schema, default=field.default)
    return core_schema.dataclass_field(field.name, schema, kw_only=field.kw_only is True)
