"""The spool: what is acknowledged is in it, whatever is cut off, full, or dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from bailiwick.core.errors import LimitExceeded, Unavailable
from bailiwick.serving.frames import frame, read_frames
from bailiwick.serving.spool import SpoolWriter
from bailiwick.serving.streams import is_alive, segments, streams
from tests_support.serving import Serving


def payloads(data: bytes) -> list[bytes]:
    return [bytes(payload) for _, payload in read_frames(data)]


def everything(writer: SpoolWriter) -> list[bytes]:
    return [payload for _, path in segments(writer.folder) for payload in payloads(path.read_bytes())]


def test_a_tail_torn_at_any_byte_loses_only_the_torn_frame() -> None:
    first, second = b"\x01\x02first", b"\x01\x02second payload"
    whole = frame(first) + frame(second)
    for cut in range(len(whole) + 1):
        expected = [first, second][: (cut >= len(frame(first))) + (cut == len(whole))]
        assert payloads(whole[:cut]) == expected


def test_a_changed_byte_is_never_read_as_a_frame() -> None:
    whole = frame(b"\x01\x02first")
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        assert payloads(bytes(changed)) == []


def test_blocks_that_were_never_written_are_no_frames() -> None:
    assert payloads(frame(b"\x01\x02x") + bytes(4096)) == [b"\x01\x02x"]


def test_segments_are_named_by_offset_and_hold_every_frame(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, limit_bytes=1 << 20, segment_bytes=100)
    sent = [b"\x01\x02%d" % number * 5 for number in range(40)]
    for payload in sent:
        writer.append(payload)
    held = segments(writer.folder)
    assert len(held) > 3
    ends = [start + path.stat().st_size for start, path in held]
    assert [start for start, _ in held] == [0, *ends[:-1]]
    assert everything(writer) == sent
    writer.close()


def test_a_full_spool_refuses_and_recovers_when_segments_are_shipped(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, limit_bytes=4096)
    sent = 0
    while writer.pending_bytes + 210 <= 4096:
        writer.append(b"\x01\x02" + bytes(200))
        sent += 1
    with pytest.raises(LimitExceeded, match="wait to be shipped; the limit is 4096"):
        writer.append(b"\x01\x02" + bytes(200))
    assert len(everything(writer)) == sent
    assert sum(path.stat().st_size for _, path in segments(writer.folder)) <= 4096
    segments(writer.folder)[0][1].unlink()
    writer.append(b"\x01\x02" + bytes(200))
    writer.close()


def test_a_request_over_a_full_spool_is_503_and_not_answered(new_serving: Callable[..., Serving]) -> None:
    serving = new_serving(spool_bytes=3000)
    serving.route(serving.variant(1))
    sent = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["AA"]},
        ]
    }
    statuses = [serving.infer(sent)[0] for _ in range(30)]
    assert statuses[0] == 200
    assert statuses[-1] == 503
    answer = serving.handler.handle("POST", "/v2/models/late/infer", {}, b"{}")
    assert answer.status == 400
    refused = serving.handler.handle(
        "POST", "/v2/models/late/outcomes", {}, b'{"prediction_id":["a:0"],"outcome":[1],"x":"%s"}' % (b"x" * 3000)
    )
    assert refused.status == 503
    assert (b"retry-after", b"1") in refused.headers


def test_a_disk_that_takes_a_part_or_nothing_fails_the_request_and_tears_nothing(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, write = serving.spool, os.write
    writer.append(b"\x01\x02before")

    def partly(file: int, data: bytes) -> int:
        return write(file, data[: len(data) // 2])

    def refused(_: int, __: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken, message in ((partly, "took only a part"), (refused, "No space left")):
        monkeypatch.setattr(os, "write", broken)
        with pytest.raises(Unavailable, match=message):
            writer.append(b"\x01\x02lost")
    monkeypatch.setattr(os, "write", write)
    writer.append(b"\x01\x02after")
    assert everything(writer) == [b"\x01\x02before", b"\x01\x02after"]

    serving.route(serving.variant(1))
    monkeypatch.setattr(os, "write", refused)
    sent = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]},{"name":"carrier","datatype":"BYTES","shape":[1],"data":["AA"]}]}'
    status, answer = serving.infer(sent)
    assert status == 503
    assert "could not be recorded, so it is not answered" in answer["error"]
    status, answer = serving.call("POST", "/v2/models/late/outcomes", {"prediction_id": ["a:0"], "outcome": [1]})
    assert status == 503


def test_a_stream_is_alive_for_as_long_as_its_worker(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, limit_bytes=4096)
    assert [is_alive(folder) for folder in streams(tmp_path)] == [True]
    writer.close()
    assert [is_alive(folder) for folder in streams(tmp_path)] == [False]


def test_what_was_appended_survives_kill_9(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from bailiwick.serving.spool import SpoolWriter
        writer = SpoolWriter(Path(sys.argv[1]), limit_bytes=1 << 26)
        for number in range(1_000_000):
            writer.append(b"\\x01\\x02%d" % number)
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = -1
    for line in process.stdout:
        last = int(line)
        if last >= 500:
            process.send_signal(signal.SIGKILL)
            break
    last = max([last, *(int(line) for line in process.stdout.read().split()[:-1])])
    process.stdout.close()
    process.wait()
    (folder,) = streams(tmp_path)
    assert not is_alive(folder)
    found = [payload for _, path in segments(folder) for payload in payloads(path.read_bytes())]
    assert found[: last + 1] == [b"\x01\x02%d" % number for number in range(last + 1)]


def test_a_disk_that_the_spool_itself_filled_is_free_again_once_that_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def small_disk(file: int, data: bytes) -> int:
        left = 1_000 - sum(path.stat().st_size for path in tmp_path.rglob("*.log"))
        return write(file, data[:left]) if left else 0

    monkeypatch.setattr(os, "write", small_disk)
    writer = SpoolWriter(tmp_path, limit_bytes=1 << 30)
    taken = []
    for number in range(200):
        payload = b"\x01\x02%d" % number
        try:
            writer.append(payload)
        except Unavailable:
            continue
        taken.append(payload)
    assert 10 < len(taken) < 200
    assert everything(writer) == taken
    *closed, _ = segments(writer.folder)
    assert closed
    for _, path in closed:  # as the shipper does with what it has shipped
        path.unlink()
    writer.append(b"\x01\x02again")
    assert everything(writer) == [b"\x01\x02again"]
    writer.close()


def test_what_was_shipped_does_not_stay_on_the_disk_of_a_worker_that_has_little_to_do(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, limit_bytes=1 << 20)
    writer.tick(0.5)
    writer.append(b"\x01\x02first")
    for now in (1, 2, 60):
        writer.tick(now)
    assert len(segments(writer.folder)) == 1
    writer.tick(61)
    old, _ = segments(writer.folder)
    assert payloads(old[1].read_bytes()) == [b"\x01\x02first"]
    old[1].unlink()  # as the shipper does
    for now in range(62, 400):
        writer.tick(now)
    assert len(segments(writer.folder)) == 1
    writer.append(b"\x01\x02second")
    assert everything(writer) == [b"\x01\x02second"]
    writer.close()
