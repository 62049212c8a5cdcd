#!/usr/bin/env python3
"""Put pyspark, which tests of the Spark engine use, into `.spark/site`, the oldest supported one into `.spark/3.5/site`, from
their lock files, and the jars of `requirements/spark-jars.txt` into `.spark/jars`.

They are not part of `.venv`: each is half a gigabyte, and only these tests need them. They append the folder to the path of
`.venv`'s Python. Needs `.venv`, whose pip installs, and Java 17 or later to run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".spark"
REQUIREMENTS = ROOT / "requirements"
MAVEN = "https://repo1.maven.org/maven2"


def install(lock: Path, home: Path) -> None:
    """Make or renew one; nothing is done when its lock file has not changed."""
    done = home / "made-from.lock"
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    print(f"Spark: installing {lock.name} …", flush=True)
    shutil.rmtree(home / "site", ignore_errors=True)
    arguments = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(lock)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--target", str(home / "site")], check=True)
    done.write_bytes(lock.read_bytes())


def fetch(coordinates: str, digest: str) -> None:
    """Bring a jar, unless it is there; a jar of another digest is refused."""
    group, artifact, version = coordinates.split(":")
    path = HOME / "jars" / f"{artifact}-{version}.jar"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
        return
    print(f"Spark: fetching {coordinates} …", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(f"{MAVEN}/{group.replace('.', '/')}/{artifact}/{version}/{path.name}") as answer:  # noqa: S310
        found = answer.read()
    if hashlib.sha256(found).hexdigest() != digest:
        raise SystemExit(f"{coordinates}: its SHA-256 is not {digest}.")
    path.write_bytes(found)


if __name__ == "__main__":
    install(REQUIREMENTS / "spark.lock", HOME)
    install(REQUIREMENTS / "spark35.lock", HOME / "3.5")
    for line in (REQUIREMENTS / "spark-jars.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            digest, coordinates = line.split()
            fetch(coordinates, digest)
