"""Which Python a model is run by, and what of the disk that one needs; and making one from what a model was logged with."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import InvalidInput, Unavailable

BUILD_SECONDS = 1_800
MAX_REQUIREMENTS_BYTES = 1 << 20

_DISTRIBUTION = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REQUIREMENT = re.compile(rf"{_DISTRIBUTION}(\[[\w\s,.-]*\])?\s*([<>=!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*(;[^@]*)?")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_FIND = "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]))"
_LIBRARIES = ("sklearn", "lightgbm", "xgboost", "catboost")


class NoInterpreter(Unavailable):
    """No Python here has the libraries that a model needs."""

    code = "no_interpreter"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, and what it lies in: everything it must be able to read.

    One that was made for a model is not `trusted`: what was installed there may run whenever it is started.
    """

    python: Path
    libraries: tuple[Path, ...]
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model was logged with: `requirements` in order, the Python's `version`, `digest` of both."""

    requirements: tuple[str, ...]
    version: str
    digest: str


class Interpreters:
    """Chooses by: the one that is set, an environment made for the model, this one."""

    def __init__(self, environments: Path, *, chosen: str = "") -> None:
        """`environments` is the folder of those made, by digest; `chosen` the path of an interpreter, or empty."""
        self._environments = environments
        self._chosen = Path(chosen) if chosen else None
        if self._chosen is not None and not os.access(self._chosen, os.X_OK):
            raise InvalidInput(f"models_python {chosen!r} is not a program that can be run.")

    def choose(self, flavours: Mapping[str, Mapping[str, Any]], environment: str) -> Interpreter:
        """Raises NoInterpreter, saying what is missing and what to do."""
        made = self._environments / environment / "bin" / "python"
        if self._chosen is not None:
            lacking = _lacking(self._chosen, tuple(needed(flavours)))
            if not lacking:
                return described(self._chosen)
            where = f"models_python {self._chosen}"
        else:
            lacking, where = [each for each in needed(flavours) if not _is_here(each)], "this Python"
        if environment and (made.parent.parent / "complete").exists():
            return replace(described(made), trusted=False)
        if not lacking:
            return described(Path(sys.executable))
        raise NoInterpreter(
            f"The model needs {', '.join(lacking)}, which {where} does not have.",
            hint="Set `models_python` to a Python that has it, or package with --build-environment to make one.",
        )

    def build(self, needs: Needs) -> Interpreter:
        """The environment of these requirements, made if it is not there: wheels only, from the package index.

        Raises Unavailable with the installer's last words.
        """
        folder = self._environments / needs.digest
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{needs.digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                _make(folder, needs)
                (folder / "complete").touch()
        return replace(described(folder / "bin" / "python"), trusted=False)


def needed(flavours: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Modules without which a model of these flavours cannot be loaded: its library, else MLflow."""
    known = [each for each in _LIBRARIES if each in flavours]
    if not known or flavours[known[0]].get("serialization_format") == "skops":
        return ["mlflow"]
    return known[:1]


def read_needs(folder: Path) -> Needs:
    """What `python_env.yaml` and `requirements.txt` of a model's folder ask for. Raises InvalidInput for more than names.

    Only names with versions are taken: files, addresses and options of installers could fetch anything from anywhere.
    """
    version = ""
    described_in = folder / "python_env.yaml"
    if described_in.is_file() and described_in.stat().st_size <= MAX_REQUIREMENTS_BYTES:
        try:
            said = yaml.safe_load(described_in.read_text(encoding="utf-8", errors="replace"))
        except yaml.YAMLError:
            said = None
        version = str(said.get("python", "")) if isinstance(said, dict) else ""
    listed = folder / "requirements.txt"
    lines: list[str] = []
    if listed.is_file() and listed.stat().st_size <= MAX_REQUIREMENTS_BYTES:
        lines = [line.strip() for line in listed.read_text(encoding="utf-8", errors="replace").splitlines()]
    requirements = tuple(line for line in lines if line and not line.startswith("#"))
    return Needs(requirements, version, digest_of([list(requirements), version]))


def described(python: Path) -> Interpreter:
    """What an interpreter lies in, told from the disk: one that was made for a model is never run to be asked."""
    prefix = python.absolute().parent.parent
    bases = [Path(os.path.realpath(python)).parent.parent, *_home(prefix / "pyvenv.cfg")]
    folders = [part for each in dict.fromkeys((prefix, *bases)) for part in _parts(each)]
    if python.absolute() == Path(sys.executable).absolute():
        folders += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return Interpreter(python.absolute(), tuple(dict.fromkeys(path for path in folders if path.exists())))


def converts(python: Path) -> bool:
    """Whether an interpreter that may be asked has the converters to ONNX."""
    return not _lacking(python, ("skl2onnx", "onnxmltools"))


def _parts(prefix: Path) -> list[Path]:
    return [prefix / name for name in ("bin", "lib", "lib64", "share", "pyvenv.cfg")]


def _home(configuration: Path) -> list[Path]:
    """Where the interpreter lies that a virtual environment was made from; as copies, its files do not lead there."""
    try:
        lines = configuration.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    homes = [value.strip() for key, _, value in (line.partition("=") for line in lines) if key.strip() == "home"]
    return [part for each in homes for part in (Path(each).parent, Path(os.path.realpath(each)).parent)]


def _is_here(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def _lacking(python: Path, modules: tuple[str, ...]) -> list[str]:
    try:
        told = subprocess.run(
            [str(python), "-I", "-c", _FIND, *modules], capture_output=True, check=True, timeout=60, env={}, text=True
        )
        found: Any = json.loads(told.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise InvalidInput(f"models_python {str(python)!r} does not work as a Python: {error}.") from error
    return [str(each) for each in found]


def _make(folder: Path, needs: Needs) -> None:
    odd = [line for line in needs.requirements if not _REQUIREMENT.fullmatch(line)]
    if odd:
        raise InvalidInput(
            f"The model asks for {odd[0][:200]!r}; only names of packages with versions are installed.",
            hint="Make an environment by hand, and set `models_python` to its Python.",
        )
    uv, base = _uv(), _base(needs.version)
    if uv:
        _run([uv, "venv", "--quiet", "--python", base, str(folder)])
        installer = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    else:
        _run([base, "-m", "venv", str(folder)])
        installer = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet"]
    # A wheel is unpacked; anything else would run code of its own here, outside of every confinement.
    if needs.requirements:
        _run([*installer, "--only-binary", ":all:", *needs.requirements])


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _base(version: str) -> str:
    """An interpreter of the version that the model was logged with: what was pickled by one may not load in another."""
    wanted = _VERSION.match(version)
    if wanted is None or (int(wanted[1]), int(wanted[2])) == sys.version_info[:2]:
        return sys.executable
    found = shutil.which(f"python{wanted[0]}")
    if found is None:
        raise NoInterpreter(
            f"The model was logged with Python {version}, and there is no python{wanted[0]} here.",
            hint="Install it, or set `models_python` to a Python that has the model's libraries.",
        )
    return found


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=BUILD_SECONDS)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise Unavailable(f"The model's environment could not be made: {' '.join(said)[:600]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"The model's environment could not be made: {error}.") from error
