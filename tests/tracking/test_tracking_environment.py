"""What a version was made with: the main libraries and the machine."""

from __future__ import annotations

import platform

from bailiwick.core.canonical import digest_of
from bailiwick.tracking.environment import describe_environment


def test_the_digest_covers_python_and_packages() -> None:
    found = describe_environment(("numpy", "no-such-distribution"))
    assert list(found.packages) == ["numpy"]
    assert found.digest == digest_of({"python": platform.python_version(), "packages": dict(found.packages)})
    assert found.cpus >= 1
    assert found.to_json()["platform"] == platform.platform()
