"""Images without an init system, of the lab's services and for building on: a bare Debian with a few packages and files."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import machine
from lab.image_cache import drop_older
from lab.podman import podman
from lab.settings import SETTINGS, Settings


@dataclass(frozen=True)
class ServiceImage:
    """What one image is made of.

    `fill` writes the files that the packages do not bring into the folder that it is given, which becomes the image's root.
    `finish` is shell that mmdebstrap runs outside the new root, which is $1. `ingredients` are the texts, beside packages and `finish`,
    that must change the image's tag when they change.
    """

    name: str
    packages: tuple[str, ...]
    finish: str = ""
    ingredients: tuple[str, ...] = ()
    fill: Callable[[Path, Settings], None] | None = None
    suite: str = machine.BOOKWORM

    @property
    def tag(self) -> str:
        """Name and tag of the image that this recipe makes, built or not."""
        recipe = "\0".join((*self.packages, self.finish, *self.ingredients, machine.apt_sources(self.suite), machine.apt_configuration()))
        return f"localhost/espalier-{self.name}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def build(self, settings: Settings = SETTINGS) -> str:
        """Make sure that podman has the image and return its name: out of podman's storage, the cache or the recipe, in this order."""
        image = self.tag
        if podman("image", "exists", image, check=False).returncode == 0:
            return image
        archive = self.archive(settings)
        loading = time.monotonic()
        podman("import", str(archive), image, timeout=300)
        print(f"  {self.name} image: loaded into podman in {time.monotonic() - loading:.0f} s", flush=True)
        return image

    def archive(self, settings: Settings = SETTINGS) -> Path:
        """The root file system's tar in the cache, made when it is not there."""
        archive = settings.cache / "images" / f"{self.name}-{self.tag.rpartition(':')[2]}.tar"
        if not archive.exists():
            started = time.monotonic()
            print(f"  {self.name} image: building with mmdebstrap ({', '.join(self.packages)} and what they need) ...", flush=True)
            self._bootstrap(archive, settings)
            print(f"  {self.name} image: built in {time.monotonic() - started:.0f} s, {archive.stat().st_size >> 20} MiB", flush=True)
            drop_older(archive, self.tag)
        return archive

    def _bootstrap(self, archive: Path, settings: Settings) -> None:
        """Make the root file system's tar. Half-made files never take the archive's name."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            work = Path(folder)
            files = work / "files"
            files.mkdir()
            if self.fill:
                self.fill(files, settings)
            (work / "sources.list").write_text(machine.apt_sources(self.suite))
            (work / "apt.conf").write_text(machine.apt_configuration())
            (work / "finish").write_text("#!/bin/sh\nset -eu\n" + self.finish)
            (work / "finish").chmod(0o755)
            log = work / "log"
            with log.open("wb") as output:
                result = subprocess.run(self._command(work), stdout=output, stderr=subprocess.STDOUT, check=False)
            if result.returncode != 0:
                raise RuntimeError(f"mmdebstrap failed:\n{_last_lines(log)}")
            (work / "root.tar").rename(archive)

    def _command(self, work: Path) -> list[str]:
        return [
            "mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(self.packages)}",
            f"--aptopt={work / 'apt.conf'}", '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=force-unsafe-io",
            f"--customize-hook=sync-in {work / 'files'} /", f"--customize-hook={work / 'finish'}",
            self.suite, str(work / "root.tar"), str(work / "sources.list"),
        ]  # fmt: skip


def file_texts(folder: Path) -> Iterable[str]:
    """Paths and contents of a folder of text files, as ingredients of an image."""
    return (f"{path.relative_to(folder)}\n{path.read_text()}" for path in sorted(folder.rglob("*")) if path.is_file())


def _last_lines(log: Path, count: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
