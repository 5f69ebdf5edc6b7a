"""Images that the lab's registry holds from the start: under their publishers' names, each of one program that was built here."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from lab.kubernetes import programs
from lab.kubernetes.programs import Program
from lab.kubernetes.registry_client import Registry
from lab.service_image import ServiceImage
from lab.settings import Settings

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NOBODY = 65534


@dataclass(frozen=True)
class ProgramImage:
    """`repository` is the name without its registry: the lab's nodes ask one registry for all of them."""

    repository: str
    tag: str
    program: Program
    # Where the publisher's image has it.
    path: str
    user: str = str(NOBODY)
    folders: tuple[str, ...] = ()
    extra: dict = field(default_factory=dict)


EKS = "eks"
PROGRAM_IMAGES = (
    ProgramImage(f"{EKS}/pause", "3.10", programs.PAUSE, "pause", "65535"),
    ProgramImage(f"{EKS}/coredns", "v1.14.7-eksbuild.1", programs.COREDNS, "coredns", ""),
    ProgramImage(f"{EKS}/metrics-server", "v0.9.0-eksbuild.1", programs.METRICS_SERVER, "metrics-server"),
    ProgramImage("prometheus/prometheus", "v3.13.5", programs.PROMETHEUS, "bin/prometheus", folders=("prometheus", "etc/prometheus")),
    ProgramImage("kube-state-metrics/kube-state-metrics", "v2.18.0", programs.KUBE_STATE_METRICS, "kube-state-metrics"),
)
# Debian's: no registry of Go modules has it.
POSTGRES_EXPORTER = ServiceImage(name="postgres-exporter", packages=("prometheus-postgres-exporter",))
POSTGRES_EXPORTER_REPOSITORY, POSTGRES_EXPORTER_TAG = "prometheuscommunity/postgres-exporter", "v0.11.1"


def push_program(image: ProgramImage, registry: Registry, settings: Settings) -> None:
    """Into the registry, unless it is there."""
    if registry.digest(image.repository, image.tag):
        return
    config = {"Entrypoint": [f"/{image.path}"], "Env": ["PATH=/bin:/usr/bin"], **image.extra}
    if image.user:
        config["User"] = image.user
    registry.push(image.repository, image.tag, [layer(image, settings)], config)


def layer(image: ProgramImage, settings: Settings) -> Path:
    """The tar of the image's files, beside the program in the cache."""
    target = programs.folder(settings) / f"{image.program.name}.tar"
    if not target.exists():
        fresh = target.with_suffix(f".{os.getpid()}")
        with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as archive:
            _folder(archive, "tmp", 0o1777)
            for name in image.folders:
                _folder(archive, name, 0o755, NOBODY)
            _text(archive, "etc/passwd", f"root:x:0:0::/:/none\nnobody:x:{NOBODY}:{NOBODY}::/:/none\n")
            _text(archive, "etc/group", f"root:x:0:\nnobody:x:{NOBODY}:\n")
            if BUNDLE.exists():
                _text(archive, str(BUNDLE).lstrip("/"), BUNDLE.read_text())
            found = archive.gettarinfo(programs.path(image.program, settings), image.path)
            found.uid = found.gid = found.mtime = 0
            found.uname = found.gname = ""
            found.mode = 0o755
            with programs.path(image.program, settings).open("rb") as file:
                archive.addfile(found, file)
        fresh.replace(target)
    return target


def _folder(archive: tarfile.TarFile, name: str, mode: int, owner: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    archive.addfile(entry)


def _text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry, data = tarfile.TarInfo(name), text.encode()
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


def push_postgres_exporter(registry: Registry, settings: Settings) -> None:
    """Into the registry, unless it is there."""
    if registry.digest(POSTGRES_EXPORTER_REPOSITORY, POSTGRES_EXPORTER_TAG):
        return
    archive = POSTGRES_EXPORTER.archive(settings)
    config = {"Entrypoint": ["/usr/bin/prometheus-postgres-exporter"], "User": str(NOBODY), "Env": ["PATH=/usr/bin:/bin"]}
    registry.push(POSTGRES_EXPORTER_REPOSITORY, POSTGRES_EXPORTER_TAG, [archive], config)
