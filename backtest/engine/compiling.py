"""How the kernel is compiled: strict IEEE arithmetic, kept between processes, free of reference counts.

Machine code is kept in a folder named after a hash of all that it was made of: the files of `engine/` that hold
compiled functions, those that these import, the versions of Python, numba and llvmlite, numba's own settings and the
processor. numba's own cache looks only at the file of the one function, so that an edit of a function called by a kept
one would go on running as it was.

It is read from the first of `NUMBA_CACHE_DIR`, `engine/__pycache__` and the user's cache folder that has it, and
written into the first of them that can be written. Where none can, it stays in memory and a note says so. Of several
processes that need it one compiles, and the others wait for it: a minute of a core each would cost all of them minutes.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pickle
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
from llvmlite import binding
from numba import njit, types
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.event import Listener, register
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from backtest.base.locks import locked

Function = TypeVar("Function", bound=Callable[..., Any])

FOLDER = "NUMBA_CACHE_DIR"
KEPT = 6
"""Versions of the kernel that one folder keeps; older ones are deleted when a new one is written."""
_PREFIX, _SEAL = "kernel-", 32
_DECORATED = re.compile(r"^@(?:compiled|inlined|linked)\b", re.MULTILINE)
_IMPORTED = re.compile(r"^\s*from (?:\w+\.)*engine(?:\.(\w+) import| import \(?([\w\s,]+))", re.MULTILINE)
_WAIT_SECONDS = 600.0
"""How long a process waits for another that compiles the same, before it compiles by itself."""


def compiled(function: Function) -> Function:
    """Machine code, kept; division by zero gives inf or NaN as numpy's does."""
    return cast(Function, _kept(njit(error_model="numpy", nogil=True, pipeline_class=_Entrance)(function)))


def inlined(function: Function) -> Function:
    """The same, merged into its caller and without reference counts, so that it cannot make or copy an array.

    Passing the kernel's records and counting references to their arrays costs more than most of its functions do.
    """
    return cast(Function, _once(njit(forceinline=True, _nrt=False, **_FROM_THE_KERNEL)(function)))


def interpreted(function: Function) -> Function:
    """The Python of a compiled function, for a caller that is Python itself."""
    return cast(Function, getattr(function, "py_func", function))


def linked(function: Function) -> Function:
    """Machine code that other compiled functions call, and Python does not: kept as a part of theirs.

    It is never merged into them: what is rare or long would take the registers of what is frequent.
    """
    # Explicit: an option that is left out is inherited from the function that is being compiled at that moment.
    return cast(Function, _once(njit(forceinline=False, **_FROM_THE_KERNEL)(function)))


def _once(dispatcher: Any) -> Any:
    """The dispatcher, compiled once for all integers: numba compiles anew for each constant that is an argument."""
    if not config.DISABLE_JIT:
        template_of = dispatcher.get_call_template

        def of_any_integer(given: Any, named: Any) -> Any:
            return template_of(tuple(map(_widest, given)), {name: _widest(one) for name, one in named.items()})

        dispatcher.get_call_template = of_any_integer
    return dispatcher


def _widest(one: Any) -> Any:
    """int64 for a type of integers, and the type of a constant for the constant."""
    plain = types.unliteral(one)
    return types.int64 if isinstance(plain, types.Integer) and plain.bitwidth < 64 else plain


_LINKED: set[str] = set()
"""Names in machine code of the `linked` functions that this process has compiled."""


class _Fragment(JITCodeLibrary):  # type: ignore[misc]
    """Code that only becomes part of its callers: optimised, since they are the faster for it, but no machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        for function in self._final_module.functions:
            if not function.is_declaration and not any(b"inline" in one for one in function.attributes):
                function.add_function_attribute("noinline")
                _LINKED.add(function.name)
        # numba writes the address of the function's environment, which is all that has to be there.
        names = [one.name for one in self._final_module.global_variables if one.name.startswith("_ZN08NumbaEnv")]
        words = "\n".join(f'@"{name}" = common global i8* null' for name in names)
        module = binding.parse_assembly(f'target triple = "{self._final_module.triple}"\n{words}\n')
        self._codegen._engine.add_module(module)
        self._codegen._engine.finalize_object()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        """What Python would call: something that refuses with a `TypeError`, since there is no machine code."""
        self._ensure_finalized()
        return ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value or 0


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """Machine code whose `linked` functions nobody else can call: arguments that they do not read are not passed."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.name in _LINKED and not function.is_declaration:
                function.linkage = "internal"
        super()._optimize_final_module()


class _Entrance(Compiler):  # type: ignore[misc]
    """numba's compiler, which leaves machine code that Python calls."""

    library: type[JITCodeLibrary] = _Whole

    def _compile_core(self) -> Any:
        state = self.state
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super()._compile_core()


class _Part(_Entrance):
    """numba's compiler, which leaves a fragment."""

    library = _Fragment


_FROM_THE_KERNEL: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _Part,
}


class _Words(Listener):  # type: ignore[misc]
    """Explains once, to a person who waits, why the first replay of an installation takes a minute."""

    def __init__(self) -> None:
        self.told = False

    def on_start(self, event: object) -> None:  # noqa: ARG002
        """Called before a function is compiled; one that is loaded from the cache is not."""
        self.tell("compiling the replay kernel, once for this installation: about a minute")

    def tell(self, words: str) -> None:
        """The explanation, printed the first time, where somebody reads it."""
        watched = sys.stderr.isatty() or "ipykernel" in sys.modules
        if self.told or not watched or os.environ.get("BACKTEST_QUIET"):
            return
        self.told = True
        print(words, file=sys.stderr, flush=True)

    def on_end(self, event: object) -> None:
        """Called when a function has been compiled."""


_WORDS = _Words()
register("numba:compile", _WORDS)


def sources(folder: Path) -> tuple[Path, ...]:
    """Files of the engine that machine code is made of: those of compiled functions, and all that these import."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    reached: set[str] = set()
    asked = {"compiling", *(name for name, text in texts.items() if _DECORATED.search(text))} & texts.keys()
    while asked:
        reached |= asked
        words = " ".join(" ".join(found) for name in asked for found in _IMPORTED.findall(texts[name]))
        asked = set(re.split(r"\W+", words)) & texts.keys() - reached
    return tuple(folder / f"{name}.py" for name in sorted(reached))


@cache
def identity() -> str:
    """Hash of all that decides what the machine code is, as 24 hexadecimal digits."""
    whole = hashlib.sha256()
    for path in sources(Path(__file__).parent):
        whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    whole.update(f"{sys.version}\0{sysconfig.get_platform()}\0{numba.__version__}\0{llvmlite.__version__}\0".encode())
    features = binding.get_host_cpu_features().flatten()
    settings = (config.CPU_NAME, config.CPU_FEATURES, config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT)
    whole.update(f"{platform.machine()}\0{binding.get_host_cpu_name()}\0{features}\0{settings}".encode())
    return whole.hexdigest()[:24]


def places() -> tuple[Path, ...]:
    """Folders that may keep machine code, the first one first."""
    named = (Path(config.CACHE_DIR),) if config.CACHE_DIR else ()
    own = Path(AppDirs(appname="backtest", appauthor=False).user_cache_dir)
    return tuple(base / f"{_PREFIX}{identity()}" for base in (*named, Path(__file__).parent / "__pycache__", own))


def _kept(dispatcher: Any) -> Any:
    """The dispatcher, with our cache in the place of numba's; as it is where numba compiles nothing."""
    if not config.DISABLE_JIT:
        dispatcher._cache = kept = _Cache(dispatcher.py_func)
        compile_one = dispatcher.compile

        def alone(signature: Any) -> Any:
            with kept.turn:
                return compile_one(signature)

        dispatcher.compile = alone
    return dispatcher


class _Locator:
    """numba's locator of a function; the folders are those of `places`."""

    def __init__(self, file: str) -> None:
        self._py_file = file

    @classmethod
    def from_function(cls, _function: Callable[..., Any], file: str) -> _Locator:
        return cls(file)

    def get_cache_path(self) -> str:
        return str(places()[0])

    def get_source_stamp(self) -> str:
        return identity()

    def get_disambiguator(self) -> str:
        return identity()[:8]


class _Implementation(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Machine code of one function: one file per signature, read whole or not at all."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.turn = ExitStack()
        """Holds the lock of what is being compiled, from the look at the folders until it is kept."""

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Machine code of this signature; None where no folder has a complete one and this process is to compile it."""
        # What is kept needs numba's runtime, not its registries of what can be compiled: these take half a second.
        rtsys.initialize(target_context)
        name = self._name_of(signature, target_context.codegen())
        found = self._read(name, target_context)
        if found is None:
            self._wait(name)
            found = self._read(name, target_context)
        return found

    def _wait(self, name: str) -> None:
        """Wait until no other process compiles it; return at once where no folder can hold a lock."""
        for folder in places():
            with suppress(OSError):
                _make_room(folder)
                try:
                    self.turn.enter_context(locked(folder / f"{name}.lock", 0.0))
                except TimeoutError:
                    _WORDS.tell("another process compiles the replay kernel: waiting for it, about a minute")
                    with suppress(TimeoutError):
                        self.turn.enter_context(locked(folder / f"{name}.lock", _WAIT_SECONDS))
                return

    def _read(self, name: str, target_context: Any) -> Any:
        for folder in places():
            try:
                seal, data = (content := (folder / name).read_bytes())[:_SEAL], content[_SEAL:]
                if hashlib.sha256(data).digest() == seal:
                    return self._impl.rebuild(target_context, pickle.loads(data))
            except Exception:
                continue
        target_context.refresh()
        return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep the machine code in the first folder that can be written."""
        if not self._impl.check_cachable(data):
            return
        name, problems = self._name_of(signature, data.codegen), []
        content = dumps(self._impl.reduce(data))
        for folder in places():
            part = folder / f"{name}.{os.getpid()}.part"
            try:
                _make_room(folder)
                part.write_bytes(hashlib.sha256(content).digest() + content)
                part.replace(folder / name)
            except OSError as problem:
                problems.append(f"{folder.parent}: {problem.strerror or type(problem).__name__}")
                with suppress(OSError):
                    part.unlink()
                continue
            return
        _say_once("; ".join(problems))

    def _name_of(self, signature: Any, codegen: Any) -> str:
        key = repr(self._index_key(signature, codegen))
        return f"{self._py_func.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _make_room(folder: Path) -> None:
    """The folder, and no more than `KEPT` of its kind beside it."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    others = [path for path in folder.parent.glob(f"{_PREFIX}*") if path.is_dir() and path != folder]
    for path in sorted(others, key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _say_once(problems: str) -> None:
    try:
        os.write(2, f"note: the compiled kernel cannot be kept ({problems}), so that each command compiles it anew, "
                    f"half a minute; name a folder that can be written by {FOLDER}\n".encode())  # fmt: skip
    except OSError:
        return
