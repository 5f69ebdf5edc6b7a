# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The newest migrations of every app, read from files without running them."""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

NOT_MIGRATIONS = ("_", "~")


def parts(text: str, label: str) -> tuple[set[str], set[str]]:
    """The migrations of the same app that one depends on, and those that it replaces."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return set(), set()
    found: dict[str, set[str]] = {"dependencies": set(), "replaces": set()}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    for statement in (statement for node in classes for statement in node.body if isinstance(statement, ast.Assign)):
        name = getattr(statement.targets[0], "id", "")
        if name in found and isinstance(statement.value, ast.List | ast.Tuple):
            for pair in statement.value.elts:
                words = [item.value for item in getattr(pair, "elts", []) if isinstance(item, ast.Constant)]
                if len(words) == 2 and words[0] == label:
                    found[name].add(words[1])
    return found["dependencies"], found["replaces"]


def label_of(apps: str, package: str) -> str:
    """An app's label: what its AppConfig says, else the last part of its package."""
    try:
        tree = ast.parse(apps)
    except SyntaxError:
        return package
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "label" and isinstance(node.value, ast.Constant):
            return str(node.value.value)
    return package


def of_folder(root: Path, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in files:
        if path.suffix == ".py" and (path.parent.name == "migrations" or path.name == "apps.py") and not (root / path).is_symlink():
            yield path.as_posix(), (root / path).read_text("utf-8", errors="replace")


def of_wheels(folder: Path) -> Iterator[tuple[str, str]]:
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith("/apps.py") or (name.endswith(".py") and PurePosixPath(name).parent.name == "migrations"):
                    yield name, archive.read(name).decode("utf-8", errors="replace")


def leaves(files: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By app, the migrations that no other one of it depends on."""
    texts = dict(files)
    apps: dict[str, dict[str, str]] = {}
    for name, text in texts.items():
        path = PurePosixPath(name)
        if path.parent.name == "migrations" and not path.name.startswith(NOT_MIGRATIONS) and len(path.parts) > 2:
            label = label_of(texts.get(str(path.parent.parent / "apps.py"), ""), path.parent.parent.name)
            apps.setdefault(label, {})[path.stem] = text
    found = {}
    for label, migrations in apps.items():
        behind = set().union(*(set().union(*parts(text, label)) for text in migrations.values()))
        found[label] = sorted(set(migrations) - behind)
    return found
