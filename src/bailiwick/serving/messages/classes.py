"""Message classes of the protocol, from its compiled description, in a pool of their own.

Python's default pool has one message of each name: with ours in it, a process that also imports a client of the protocol
(`tritonclient`, `kserve`) would die of `duplicate symbol 'inference.ServerLiveRequest'`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_COMPILED = Path(__file__).with_name("protocol.binpb")


@cache
def files() -> dict[str, Any]:
    """FileDescriptorProto by file name, dependencies first."""
    described = descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes())
    return {file.name: file for file in described.file}


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in files().values():
        pool.Add(file)
    return pool


@cache
def message(name: str) -> Any:
    """The class of a message by its full name, such as `inference.ModelInferRequest`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


@cache
def _symbols() -> dict[str, str]:
    """The file of each service, method, message and enumeration."""
    found: dict[str, str] = {}
    for file in files().values():
        for service in file.service:
            name = f"{file.package}.{service.name}"
            found[name] = file.name
            found.update({f"{name}.{method.name}": file.name for method in service.method})
        waiting = [(file.package, declared) for declared in (*file.message_type, *file.enum_type)]
        while waiting:
            within, declared = waiting.pop()
            name = f"{within}.{declared.name}"
            found[name] = file.name
            waiting += [(name, nested) for nested in getattr(declared, "nested_type", ())]
    return found


def file_of(symbol: str) -> str:
    """The file that declares a service, method, message or enumeration. Raises KeyError."""
    return _symbols()[symbol]
