"""The repository as tests see it: what git tracks, and what it would track after `git add`."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
VENV_BIN = ROOT / ".venv" / "bin"


@cache
def tracked(pattern: str = "*") -> tuple[Path, ...]:
    """Files of the tree that match a git pathspec, ignored ones left out, uncommitted ones included; symbolic links not followed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", pattern]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    paths = (ROOT / name for name in names if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def texts(*patterns: str) -> dict[Path, str]:
    """Contents of the text files that match any of the patterns, by path. Binary files are left out."""
    found = {}
    for pattern in patterns or ("*",):
        for path in tracked(pattern):
            data = path.read_bytes()
            if b"\0" not in data:
                found[path] = data.decode("utf-8")
    return found


def load_yaml(path: Path):
    """A YAML file's content; Ansible's own tags (`!vault`, `!unsafe`) are read as plain values."""
    return yaml.load(path.read_text("utf-8"), Loader=_Loader)


class _Loader(yaml.SafeLoader):
    pass


def _plain(loader, _suffix, node):
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _plain)

ROLES = sorted({path.relative_to(ROOT / "roles").parts[0] for path in tracked("roles")})
PLAYBOOKS = [
    path for path in (ROOT / "site.yml", *tracked("playbooks/*.yml")) if path.exists() and path.parent in (ROOT, ROOT / "playbooks")
]
