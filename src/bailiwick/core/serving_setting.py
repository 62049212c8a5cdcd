"""How a model version is best run, as measured or as somebody said: the registry keeps it, route tables carry it, workers obey."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from bailiwick.core.errors import InvalidInput

MOST_THREADS = 64
MOST_ROWS = 4_096
MOST_WORKERS = 256
LONGEST_WHY = 500


class ServingSetting(Struct, frozen=True):
    """Every default means "as the server has it".

    `threads` are those of one run of an ONNX graph, `most_rows` the most rows that a run of several requests has (0: the
    server's own bound). `workers` is advice for people: how many inference processes it was measured best with. `why`
    says what it was measured by. Fields are only ever added.
    """

    threads: int = 1
    most_rows: int = 0
    workers: int = 0
    why: str = ""


AS_SERVED = ServingSetting()

_decode = msgspec.json.Decoder(ServingSetting)


def check_setting(setting: ServingSetting) -> ServingSetting:
    """Raises InvalidInput for what no machine should be asked for, naming the field and its bounds."""
    for name, least, most in (
        ("threads", 1, MOST_THREADS),
        ("most_rows", 0, MOST_ROWS),
        ("workers", 0, MOST_WORKERS),
    ):
        value = getattr(setting, name)
        if not least <= value <= most:
            raise InvalidInput(f"A serving setting's {name} is {least} to {most}, not {value}.")
    if len(setting.why) > LONGEST_WHY or not setting.why.isprintable():
        raise InvalidInput(f"A serving setting says why in one line of at most {LONGEST_WHY} characters.")
    return setting


def encode_setting(setting: ServingSetting) -> str:
    """As it is kept."""
    return msgspec.json.encode(setting).decode()


def decode_setting(text: str) -> ServingSetting:
    """Raises InvalidInput for what is none, or is out of bounds."""
    try:
        return check_setting(_decode.decode(text))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidInput(f"{text[:80]!r} is no serving setting: {error}.") from error


def setting_of(tags: Mapping[str, str], key: str) -> ServingSetting:
    """The setting under a tag; that of the server where there is none, or one that cannot be read."""
    try:
        return decode_setting(tags[key]) if key in tags else AS_SERVED
    except InvalidInput:
        return AS_SERVED


def setting_words(setting: ServingSetting) -> str:
    """`2 threads a run, runs of at most 64 rows, best with 2 workers`; empty where nothing is set."""
    said = []
    if setting.threads != 1:
        said.append(f"{setting.threads} threads a run")
    if setting.most_rows:
        said.append(f"runs of at most {setting.most_rows} {'row' if setting.most_rows == 1 else 'rows'}")
    if setting.workers:
        said.append(f"best with {setting.workers} {'worker' if setting.workers == 1 else 'workers'}")
    return ", ".join(said)
