"""Values of the command line that need no conversion are taken as they are.

Typer builds a pydantic validator for every option of a verb, given or not, which takes longer than to list the
catalysts. One is built only for a value that it could change or refuse.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

from backtest.base.errors import UsageError


def build_when_needed(command: Any) -> None:
    """Let the options of a verb, or of each verb of a group, wait for their validators."""
    for parameter in command.params:
        parameter._runtime_param = _WhenNeeded()
    if "get_help_option" in vars(command):
        return
    make = command.get_help_option

    def help_option(ctx: Any) -> Any:
        option = make(ctx)
        if option is not None and option._runtime_param is None:
            option._runtime_param = _WhenNeeded()
        return option

    command.get_help_option = help_option


class _WhenNeeded:
    """Stands where typer keeps the validator of an option, and asks for that when it is needed."""

    def __init__(self) -> None:
        self._built: Any = None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value in the type of its option; one that was typed and is empty raises `UsageError`."""
        if _is_empty(value) and getattr(ctx.get_parameter_source(param.name), "name", "") == "COMMANDLINE":
            name = param.opts[0] if param.param_type_name == "option" else param.get_error_hint().strip("'")
            raise UsageError(
                f"{name} is empty: give it a value, or leave it out (a variable of the shell that is not set?)"
            )
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        kind = param.type_descriptor.annotation
        if kind is str and _plain(value):
            return value
        if get_origin(kind) is list and get_args(kind) == (str,) and isinstance(value, list | tuple):
            if all(map(_plain, value)):
                return list(value)
        elif kind is type(value) and value is param.default:
            return value
        if self._built is None:
            param._runtime_param = None
            self._built = param.get_runtime_param()
            param._runtime_param = self
        return self._built.coerce(value, param=param, ctx=ctx)


def _is_empty(value: object) -> bool:
    """Whether a value, or one of several, has no text, and would pass for "not given" or for this folder."""
    return "" in value if isinstance(value, tuple | list) else value == ""


def _plain(value: object) -> bool:
    """Whether it is text that every validator takes: bytes that are no UTF-8 come as lone surrogates."""
    return type(value) is str and value.isascii()
