"""Turns complaints of the command-line parser into one sentence, like every other error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.exceptions import TyperException

from backtest.base.errors import UsageError, near_miss, shortened


@contextmanager
def plain_usage() -> Iterator[None]:
    """Turn a complaint of the parser into `UsageError`; help shown because arguments are missing stays help."""
    try:
        yield
    except TyperException as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":
            raise
        raise UsageError(sentence(problem)) from problem


def sentence(problem: TyperException) -> str:
    """The option or argument, the value typed, what is allowed, and where to find help."""
    context: Any = getattr(problem, "ctx", None)
    verb = _verb(context)
    told = problem.format_message().strip().rstrip(".")
    option = getattr(problem, "option_name", "")
    if isinstance(problem, typer.BadParameter) and problem.param is not None:
        told = _of_parameter(problem, told)
    elif option and context and option not in _options(context):
        told = f"{verb} has no option {shortened(option)}; {_instead(option, verb, _options(context))}"
    elif told.startswith("Got unexpected extra argument"):
        told = f"{verb} takes no argument {told.partition('(s) ')[2].strip('()')!r}: name options with two hyphens"
    elif told.startswith("No such command"):
        name = told.split("'")[1]
        told = f"{verb} has no verb {shortened(name)}; {near_miss(name, context.command.list_commands(context))}"
    else:
        told = f"{told[:1].lower()}{told[1:]}"
    return f"{told}; {verb} --help tells more"


def _of_parameter(problem: typer.BadParameter, told: str) -> str:
    parameter: Any = problem.param
    name = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.get_error_hint().strip("'")
    if type(problem).__name__ == "MissingParameter":
        return f"{_verb(problem.ctx)} needs {name}: name it"
    from pydantic import ValidationError

    from backtest.base.documents import complaint_of

    if isinstance(problem.__cause__, ValidationError):
        return f"{name} {complaint_of(problem.__cause__)}"
    return f"{name}: {told.partition(': ')[2] or told}"


def _instead(option: str, verb: str, allowed: list[str]) -> str:
    """What to type instead: a setting of what the verb configures by `--set`, or the option that was meant."""
    from backtest.base.config import RunConfig
    from backtest.study.settings import StudyConfig

    configured = StudyConfig if verb == "backtest study" else RunConfig
    setting = option.removeprefix("--").replace("-", "_")
    if "--set" in allowed and setting in configured.model_fields:
        return f"{setting} is a setting: write --set {setting}=VALUE"
    return near_miss(option, allowed)


def _options(context: Any) -> list[str]:
    return [name for one in context.command.params for name in (*one.opts, *one.secondary_opts) if name[:2] == "--"]


def _verb(context: Any) -> str:
    """The verb as it is typed, however the program was started."""
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(("backtest", *names))
