#!/usr/bin/env python3
"""Make the build context of app/Dockerfile from a folder, without AWS: source, the suite's runtime and wheels, as in a stored release.

usage: bin/image_context.py FOLDER [--app app] [--python 3.12] [--machine x86_64] [--requirements FILE]

For images that are built outside of a deploy, by CI for example. A deploy builds its image from the release in S3, by the same rules.
Needs Python 3.12 or newer with pip, and nothing else. FOLDER must not exist or be empty.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.espalier.aws.plugins.module_utils import django_project, source_archive, wheelhouse  # noqa: E402

# As app_exclude of group_vars/application.yml.
EXCLUDE = [
    ".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", "*.sqlite3", ".env", ".tox", ".pytest_cache", ".ruff_cache",
    ".mypy_cache", "Dockerfile",
]  # fmt: skip
RUNTIME = ROOT / "roles" / "django" / "files" / "runtime"


def copy(root: Path, target: Path, exclude: list[str]) -> None:
    for path in source_archive.files_of(root, exclude):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target / path, follow_symlinks=False)


def make(options: argparse.Namespace) -> None:
    folder, source = options.folder, options.folder / "source"
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise source_archive.SourceError(f"{folder} is not empty")
    copy(options.app, source, EXCLUDE)
    copy(RUNTIME, folder / "espalier", source_archive.GENERATED)
    requirements = django_project.find_requirements(source, options.requirements)
    install = django_project.install_arguments(source, requirements, [])
    wheelhouse.fill(wheelhouse.Wheelhouse(folder / "wheels", source, options.python, options.machine), install, [], database=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--app", type=Path, default=ROOT / "app")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--machine", choices=["x86_64", "aarch64"], default="x86_64")
    parser.add_argument("--requirements", default="")
    try:
        make(parser.parse_args())
    except (source_archive.SourceError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
