# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A folder or a Git repository as one archive whose bytes depend on nothing but the content."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

# Zip files, and so wheels, know no time before 1980.
MTIME = 315619200
# What tools leave behind in a source folder of the suite itself.
GENERATED = ["__pycache__", ".*"]


class SourceError(Exception):
    """The source cannot be had or used; the message says which variable to change."""


def git(*arguments: str, cwd: Path | None = None) -> str:
    """Run git without ever asking for a password. Raises SourceError with git's own last line."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    result = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if result.returncode:
        words = result.stderr.strip().splitlines() or [f"git {arguments[0]} failed"]
        raise SourceError(words[-1])
    return result.stdout.strip()


def fetch(repository: str, version: str, cache: Path) -> tuple[Path, str, str]:
    """Bring a repository up to date in the cache. Returns the mirror, the commit and the release's name.

    A release is named after its tag where `version` is one, else after the first 12 digits of the commit.
    """
    mirror = cache / f"{hashlib.sha256(repository.encode()).hexdigest()[:16]}.git"
    try:
        if not mirror.is_dir():
            git("clone", "--quiet", "--mirror", "--", repository, str(mirror))
        elif not (len(version) == 40 and known(mirror, version)):
            git("fetch", "--quiet", "--prune", "--tags", "--force", "origin", cwd=mirror)
    except SourceError as error:
        raise SourceError(f"app_repository '{repository}' cannot be read: {error}") from None
    wanted = version or "HEAD"
    try:
        commit = git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}", cwd=mirror)
    except SourceError:
        raise SourceError(f"app_version '{version}' is no branch, tag or commit of app_repository '{repository}'") from None
    tagged = bool(version) and bool(git("tag", "--list", version, cwd=mirror))
    return mirror, commit, version.replace("/", "-") if tagged else commit[:12]


def known(mirror: Path, commit: str) -> bool:
    try:
        return git("cat-file", "-t", commit, cwd=mirror) == "commit"
    except SourceError:
        return False


def check_out(mirror: Path, commit: str, folder: Path) -> Path:
    """Write a commit's files, submodules included, into `folder`."""
    git("clone", "--quiet", "--no-checkout", "--", str(mirror), str(folder))
    # Relative addresses of submodules mean the origin's, not the mirror's.
    git("remote", "set-url", "origin", git("remote", "get-url", "origin", cwd=mirror), cwd=folder)
    git("checkout", "--quiet", "--detach", commit, cwd=folder)
    if (folder / ".gitmodules").exists():
        git("submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1", cwd=folder)
    return folder


def files_of(root: Path, exclude: list[str]) -> list[Path]:
    """Files and links below `root`, relative to it and sorted; a pattern is matched against each name and against the whole path."""

    def kept(path: Path) -> bool:
        return not any(fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(str(path), pattern) for pattern in exclude)

    found = []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = sorted(name for name in folders if kept(here / name))
        links = [name for name in folders if (root / here / name).is_symlink()]
        found += [here / name for name in [*names, *links] if kept(here / name)]
    return sorted(found)


def content_of(root: Path, files: list[Path]) -> str:
    """SHA-256 of names, contents, links and executable bits of some files."""
    total = hashlib.sha256()
    for path in files:
        file = root / path
        content = str(file.readlink()) if file.is_symlink() else hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{path} {content} {os.access(file, os.X_OK)}\n".encode())
    return total.hexdigest()


def digest_of(folders: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of all files of the folders."""
    total = hashlib.sha256()
    for folder in folders:
        for path in files_of(folder, GENERATED):
            content = hashlib.sha256((folder / path).read_bytes()).hexdigest()
            total.update(f"{folder.name}/{path} {content}\n".encode())
    return total.hexdigest()


def check_link(root: Path, path: Path) -> None:
    target = (root / path).readlink()
    if target.is_absolute() or not (root / path).resolve().is_relative_to(root.resolve()):
        raise SourceError(f"the link '{path}' leads out of the source (to {target}): replace it or list it in app_exclude")


def entry(archive: tarfile.TarFile, root: Path, path: Path, name: str) -> tarfile.TarInfo:
    """The header of one file, without owner, time and all of its mode but the executable bit."""
    if (root / path).is_symlink():
        check_link(root, path)
    information = archive.gettarinfo(str(root / path), arcname=name)
    executable = bool(information.mode & 0o100) and not information.issym()
    information.mode = 0o755 if executable else 0o644
    information.mtime = MTIME
    information.uid = information.gid = 0
    information.uname = information.gname = "root"
    if information.islnk():
        # The second of two hard links; whether there are two is no matter of content.
        information.type, information.linkname, information.size = tarfile.REGTYPE, "", (root / path).stat().st_size
    return information


def pack(trees: dict[str, tuple[Path, list[Path]]], folder: Path) -> tuple[Path, str]:
    """Write a gzipped tar into `folder`: by name of the archive's top folders, a root and its files.

    Returns the archive's path and SHA-256. Same content, same bytes, same name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(dir=folder, prefix=".pack-") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for top, root, path in ((top, root, path) for top, (root, files) in sorted(trees.items()) for path in files):
            information = entry(archive, root, path, f"{top}/{path}")
            if information.isreg():
                with open(root / path, "rb") as content:
                    archive.addfile(information, content)
            else:
                archive.addfile(information)
        archive.close()
        zipped.close()
        file.flush()
        digest = hashlib.sha256(Path(file.name).read_bytes()).hexdigest()
        target = folder / f"{digest[:16]}.tar.gz"
        if not target.exists():
            os.link(file.name, target)
    return target, digest
