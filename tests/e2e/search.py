"""The search for secrets on this machine: printed words, files, containers, the session bucket."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lab.podman import LABEL, podman
from lab.settings import SETTINGS
from tests.acceptance.secrets import spellings
from tests.acceptance.system import System
from tests.tree import ROOT, tracked


def places_with_a_secret(values: dict[str, str], printed: Path, since: float) -> list[str]:
    """One line a place, naming the place and never the value. `since` (seconds of the epoch) is when the session began."""
    patterns = [pattern.encode() for pattern in spellings(values)]
    found = [f"file {path}" for path in files_to_search(printed, since) if holds(path, patterns)]
    found += [f"command line of process {path.parent.name}" for path in Path("/proc").glob("[0-9]*/cmdline") if holds(path, patterns)]
    found += [f"container {name}" for name, text in container_words() if any(pattern in text for pattern in patterns)]
    found += [f"s3://{name}" for name, body in session_objects() if any(pattern in body for pattern in patterns)]
    return found


def files_to_search(printed: Path, since: float):
    """All that the runs printed, the lab's state, the tree, and what is newer than the session where programs put temporary files."""
    yield from (path for path in printed.rglob("*") if path.is_file())
    yield from (path for path in SETTINGS.state.rglob("*") if path.is_file())
    yield from tracked()
    for folder in (
        Path(tempfile.gettempdir()),
        Path("/var/tmp"),
        Path("/dev/shm"),
        Path("/run"),
        ROOT / ".ansible",
        Path.home() / ".ansible",
    ):
        yield from (path for path in walk(folder) if changed_since(path, since))


def walk(folder: Path):
    """Regular files below a folder, in spite of files that vanish and folders that refuse."""
    for root, _, names in folder.walk(on_error=None):
        for name in names:
            path = root / name
            if path.is_file() and not path.is_symlink():
                yield path


def changed_since(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except OSError:
        return False


def holds(path: Path, patterns: list[bytes]) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return any(pattern in data for pattern in patterns)


def container_words():
    """What podman keeps on disk of each container: its configuration (environment, arguments) and its output."""
    for name in podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}").stdout.decode().split():
        yield f"{name}, configuration", podman("inspect", name, check=False).stdout
        logs = podman("logs", name, check=False)
        yield f"{name}, output", logs.stdout + logs.stderr


def session_objects():
    """Every version of every object of the bucket that carries Ansible's modules to the instances."""
    system = System()
    s3 = system.client("s3")
    for bucket in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "-session-" in bucket["Name"]]:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for entry in page.get("Versions", []):
                body = s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])["Body"].read()
                yield f"{bucket}/{entry['Key']}", body
