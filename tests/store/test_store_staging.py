"""Files on their way in: hashed as they come, named when durable, swept when their writer is dead."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bailiwick.core.errors import Unavailable
from bailiwick.store.blobs import BlobStore
from bailiwick.store.staging import StagedFile, make_folder, sweep

HOLD = """
import sys, time
from pathlib import Path
from bailiwick.store.staging import StagedFile
staged = StagedFile(Path(sys.argv[1]))
staged.write(b"half")
print("writing", flush=True)
time.sleep(60)
"""


def test_a_staged_file_has_its_digest_and_then_its_name(tmp_path: Path) -> None:
    staged = StagedFile(tmp_path / "incoming")
    for part in (b"one", b"", b"two"):
        staged.write(part)
    assert (staged.seal(), staged.size) == (hashlib.sha256(b"onetwo").hexdigest(), 6)
    staged.name(tmp_path / "named")
    staged.discard()
    staged.discard()
    assert (tmp_path / "named").read_bytes() == b"onetwo"
    assert list((tmp_path / "incoming").iterdir()) == []


def test_only_files_of_dead_writers_are_swept(tmp_path: Path) -> None:
    living = StagedFile(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        assert sweep(tmp_path, older_than_ms=-1000) == 0
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert sweep(tmp_path, older_than_ms=60_000) == 0
    assert sweep(tmp_path, older_than_ms=-1000) == 1
    assert [path.name for path in tmp_path.iterdir()] == [living.path.name]
    living.discard()
    assert sweep(tmp_path / "absent", older_than_ms=0) == 0


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="Nothing can be written in"):
        StagedFile(tmp_path / "file" / "incoming")


def test_folders_are_made_down_to_the_last(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_blob_of_any_size_is_written_piece_by_piece(tmp_path: Path) -> None:
    blobs = BlobStore((tmp_path / "blobs").as_uri())
    data = os.urandom(20 << 20)
    for _ in range(2):
        with blobs.writer() as writer:
            for at in range(0, len(data), 1 << 20):
                writer.write(data[at : at + (1 << 20)])
            digest = writer.commit()
    assert blobs.get(digest) == data
    with blobs.open(digest) as reader:
        assert reader.read(5_000_000, 9_000_001) == data[5_000_000:9_000_001]
        blobs.delete([digest, "0" * 64])
        assert b"".join(reader.checked()) == data
    assert not blobs.exists(digest)


def test_stored_blobs_are_listed_with_their_sizes_and_times(tmp_path: Path) -> None:
    blobs = BlobStore((tmp_path / "blobs").as_uri())
    assert list(blobs.stored()) == []
    digests = {blobs.put(b"a"): 1, blobs.put(b"bb"): 2}
    found = list(blobs.stored())
    assert {blob.digest: blob.size_bytes for blob in found} == digests
    assert all(abs(blob.modified - time.time() * 1000) < 60_000 for blob in found)
    assert not blobs.signs
