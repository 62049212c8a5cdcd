"""The gRPC reflection protocol: tools such as `grpcurl` learn from the server what it can be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from bailiwick.serving.grpc.status import CallFailed, Code
from bailiwick.serving.messages.classes import file_of, files, message

VERSIONS = ("v1", "v1alpha")
"""Both are asked for, and differ in name alone."""


def path_of(version: str) -> str:
    """The one method of it."""
    return f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"


def reflect(version: str) -> Callable[[bytes], bytes]:
    """Answers one ServerReflectionRequest; what is not there is said in the answer."""
    request, response = (
        message(f"grpc.reflection.{version}.ServerReflection{kind}") for kind in ("Request", "Response")
    )

    def answer(data: bytes) -> bytes:
        try:
            sent = request.FromString(data)
        except DecodeError as error:
            raise CallFailed(Code.INVALID_ARGUMENT, f"The message cannot be read: {error}.") from None
        made = response(valid_host=sent.host, original_request=sent)
        _fill(made, sent, sent.WhichOneof("message_request"))
        return bytes(made.SerializeToString())

    return answer


def _fill(made: Any, sent: Any, asked: str | None) -> None:
    try:
        if asked == "list_services":
            names = [f"{file.package}.{service.name}" for file in files().values() for service in file.service]
            for name in sorted(names):
                made.list_services_response.service.add(name=name)
        elif asked == "file_by_filename":
            _add_file(made, sent.file_by_filename)
        elif asked == "file_containing_symbol":
            _add_file(made, file_of(sent.file_containing_symbol))
        else:
            _say_missing(made, sent, asked)
    except KeyError:
        _say_missing(made, sent, asked)


def _say_missing(made: Any, sent: Any, asked: str | None) -> None:
    wanted = str(getattr(sent, asked)) if asked else ""
    made.error_response.error_code = Code.NOT_FOUND
    made.error_response.error_message = f"There is no {wanted[:200]!r} here."


def _add_file(made: Any, name: str) -> None:
    """With the files that it needs."""
    file = files()[name]
    made.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
    for needed in file.dependency:
        _add_file(made, needed)
