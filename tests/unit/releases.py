"""A bucket, a pointer and a project for the tests of releases."""

from __future__ import annotations

import zipfile
from pathlib import Path

BUCKET, PREFIX, PARAMETER = "lab-django-static-123456789012", "releases/shop", "/DjangoApp/release"
TAGS = {"Project": "django", "Environment": "lab"}
WHERE = {"bucket": BUCKET, "prefix": PREFIX}


def wheel(folder: Path, name: str, version: str = "1.0", tag: str = "py3-none-any", requires: tuple[str, ...] = (), **files: str) -> Path:
    """A wheel as an index would serve it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {line}\n" for line in requires)
    content = {
        f"{name}/__init__.py": "",
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(zipfile.ZipInfo(file), text)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "".join(f"{file},,\n" for file in content))
    return path


def manifest(version: str, made_at: str = "2026-01-01T00:00:00Z", **more) -> dict:
    return {"version": version, "made_at": made_at, "made_by": "arn:me", "digest": "0", "inputs": "0", "commit": "", "content": "", **more}
