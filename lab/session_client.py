"""Amazon's Session Manager client (session-manager-plugin): the installed one, or one built from Amazon's source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from lab import go
from lab.settings import SETTINGS, Settings

NAME = "session-manager-plugin"
PACKAGE = "github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main"
SOURCE = Path(__file__).parent / "session_plugin"
# Cold, on two slow cores, with the modules still to be fetched.
BUILD_SECONDS = 900


def build(settings: Settings = SETTINGS) -> Path:
    """Make sure that there is a client, link it as .lab/bin/session-manager-plugin, and return its path.

    Raises lab.go.BuildError when there is none on PATH and none can be built.
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
    compiler = go.toolchain(SOURCE, settings)
    print("  session-manager-plugin: building from Amazon's source (about a minute) ...", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    result = subprocess.run(
        [compiler, "build", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", str(fresh), PACKAGE],
        cwd=SOURCE,
        env=go.environment(),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        last = "\n".join(result.stderr.splitlines()[-20:])
        raise go.BuildError(f"session-manager-plugin does not build. Install Amazon's package instead, then run again.\n{last}")
    fresh.replace(path)
    print(f"  session-manager-plugin: built in {time.monotonic() - started:.0f} s", flush=True)
    return path
