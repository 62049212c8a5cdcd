"""A model in a confined process, asked one question at a time."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bailiwick.confinement.model import InForce, Limits, Program
from bailiwick.confinement.process import ConfinedProcess, start
from bailiwick.core.errors import CheckFailed

WORKER = Path(__file__).with_name("worker")
_PACKAGE = "bailiwick_worker"
_MAIN = f"from {_PACKAGE}.service import main\n\nmain()\n"
MAX_HEAD_BYTES = 64 << 20
MAX_ANSWER_BYTES = 1 << 30

_HEAD = struct.Struct("<I")
_PLAIN = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}) | {
    "float16",
    "float32",
    "float64",
}


class ModelRaised(CheckFailed):
    """The model answered with an error of its own; the process goes on."""

    code = "model_failed"


class ModelRefused(ModelRaised):
    """What it was asked is nothing that it can be asked; nothing of the model ran."""


class AnsweredUnevenly(ModelRaised):
    """It answered, but not with a value for each row."""


class ModelGone(CheckFailed):
    """The model's process ended, spoke nonsense, or took too long and was killed."""

    code = "model_gone"


_KINDS: dict[str, type[ModelRaised]] = {"refusal": ModelRefused, "uneven": AnsweredUnevenly}


class Table(NamedTuple):
    """Rows for a model: an array, and the inputs whose columns it has (all of it, where there is only one)."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Housing:
    """Where and how models are run: `protected` must not be readable to them, `memory_bytes` is the most they may hold."""

    protected: tuple[Path, ...] = ()
    memory_bytes: int = 4 << 30
    unconfined: bool = False


class ModelProcess:
    """One process with one model's folder. Not for several threads at once. To be closed."""

    def __init__(
        self,
        python: Path,
        folder: Path,
        housing: Housing,
        *,
        libraries: Sequence[Path] = (),
        cpu_seconds: int | None = None,
    ) -> None:
        """`libraries` are folders that the interpreter needs to read. Raises CannotConfine, Unavailable."""
        self._scratch = Path(tempfile.mkdtemp(prefix="bailiwick-model-"))
        self._scratch.chmod(0o711)
        work = self._scratch / "work"
        work.mkdir(mode=0o700)
        worker = _copied(self._scratch)
        program = Program(
            command=[str(python), "-I", "-B", str(worker), "{channel}", str(folder)],
            cwd=work,
            readable=[*libraries, worker, folder],
            writable=[work],
            protected=housing.protected,
            environment=_environment(work),
            limits=replace(Limits(), memory_bytes=housing.memory_bytes, cpu_seconds=cpu_seconds),
            unconfined=housing.unconfined,
        )
        try:
            self._process: ConfinedProcess = start(program)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    @property
    def in_force(self) -> InForce:
        """What keeps it in."""
        return self._process.in_force

    @property
    def pid(self) -> int:
        """Its process, seen from here."""
        return self._process.pid

    @property
    def resident_bytes(self) -> int:
        """Memory that it holds."""
        return self._process.resident_bytes

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.alive

    def ask(
        self, question: str, tables: Sequence[Table] = (), *, seconds: float, **more: object
    ) -> tuple[dict[str, Any], list[tuple[str, np.ndarray]]]:
        """The answer's head and its arrays by name. Raises ModelRaised; ModelGone, after which it is of no use."""
        deadline = time.monotonic() + seconds
        try:
            self._send({**more, "ask": question}, tables, deadline)
            head, arrays = self._receive(deadline)
        except TimeoutError:
            self.close()
            raise ModelGone(f"The model gave no answer within {seconds:g} seconds, so its process was ended.") from None
        except (OSError, EOFError) as error:
            raise self._gone() from error
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            self.close()
            raise ModelGone(f"The model's process spoke nonsense, so it was ended: {error}.") from error
        if head.get("ok") is not True:
            raised = _KINDS.get(str(head.get("kind", "")), ModelRaised)
            raise raised(_writable(str(head.get("error", ""))[:2_000]))
        return head, arrays

    def close(self) -> None:
        """End it, and remove what it wrote. May be called again."""
        self._process.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _gone(self) -> ModelGone:
        ending = self._process.ending()
        words = self._process.last_words().splitlines()
        self.close()
        said = f"; it said: {words[-1][:500]}" if words else ""
        return ModelGone(f"The model's process ended ({ending or 'killed'}){said}.")

    def _send(self, head: Mapping[str, Any], tables: Sequence[Table], deadline: float) -> None:
        described, parts = [], []
        for table in tables:
            about, data = _encoded(table)
            described.append(about)
            parts.append(data)
        text = json.dumps({**head, "arrays": described}).encode()
        channel = self._process.channel
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        channel.sendall(b"".join([_HEAD.pack(len(text)), text, *parts]))

    def _receive(self, deadline: float) -> tuple[dict[str, Any], list[tuple[str, np.ndarray]]]:
        channel = self._process.channel
        (size,) = _HEAD.unpack(_exactly(channel, _HEAD.size, deadline))
        if size > MAX_HEAD_BYTES:
            raise ValueError(f"a head of {size} bytes")
        head = json.loads(_exactly(channel, size, deadline))
        arrays, left = [], MAX_ANSWER_BYTES
        for about in head.get("arrays", ()):
            count = int(about["bytes"])
            left -= count
            if count < 0 or left < 0:
                raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
            arrays.append((str(about["name"]), _decoded(about, _exactly(channel, count, deadline))))
        return head, arrays


def as_bytes(array: np.ndarray) -> bytes:
    """What the worker sent as bytes."""
    return array.tobytes()


def _writable(text: str) -> str:
    """What a model says may hold halves of surrogate pairs, which no file or answer can."""
    return text.encode("utf-8", "replace").decode()


def _copied(scratch: Path) -> Path:
    """The program, where the process may read it: a folder that Python runs."""
    folder = scratch / "program"
    package = folder / _PACKAGE
    for each in (folder, package):
        each.mkdir()
        each.chmod(0o755)
    for source in WORKER.glob("*.py"):
        target = package / source.name
        shutil.copyfile(source, target)
        target.chmod(0o644)
    main = folder / "__main__.py"
    main.write_text(_MAIN, encoding="utf-8")
    main.chmod(0o644)
    return folder


def _environment(work: Path) -> dict[str, str]:
    """All that the process knows of the world. One thread, as every model here: scaling out is by processes."""
    return {
        "HOME": str(work),
        "TMPDIR": str(work),
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"file://{work}/mlruns",
        "JOBLIB_MULTIPROCESSING": "0",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1"),
    }


def _encoded(table: Table) -> tuple[dict[str, Any], bytes]:
    values = table.values
    about: dict[str, Any] = {"names": list(table.names), "shape": list(values.shape)}
    if values.dtype == object:
        data = json.dumps(values.ravel().tolist()).encode("utf-8", "surrogatepass")
        return {**about, "dtype": "text", "bytes": len(data)}, data
    return {**about, "dtype": values.dtype.name, "bytes": values.nbytes}, np.ascontiguousarray(values).tobytes()


def _decoded(about: Mapping[str, Any], data: bytearray) -> np.ndarray:
    """The array, if its parts fit together: they were written by a process that is not trusted."""
    shape = [int(each) for each in about["shape"]]
    count, dtype = 1, str(about["dtype"])
    for each in shape:
        if each < 0:
            raise ValueError("a negative dimension")
        count *= each
    if dtype == "bytes":
        return np.frombuffer(data, np.uint8)
    if dtype == "text":
        texts = json.loads(bytes(data))
        if not isinstance(texts, list) or len(texts) != count or not all(isinstance(each, str) for each in texts):
            raise ValueError("texts that are none, or too few")
        "".join(texts).encode()  # a UnicodeEncodeError, which is a ValueError, for what is no text
        array: np.ndarray = np.array(texts, dtype=object).reshape(shape)
        return array
    if dtype not in _PLAIN or count * np.dtype(dtype).itemsize != len(data):
        raise ValueError(f"an array of {dtype[:20]!r} whose size is wrong")
    return np.frombuffer(data, np.dtype(dtype)).reshape(shape)


def _exactly(channel: socket.socket, size: int, deadline: float) -> bytearray:
    held = bytearray(size)
    view, got = memoryview(held), 0
    while got < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        count = channel.recv_into(view[got:])
        if not count:
            raise EOFError
        got += count
    return held
