# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Django project's files say about how to install and run it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ansible_collections.espalier.aws.plugins.module_utils.source_archive import SourceError

CANDIDATES = ("requirements.txt", "requirements/production.txt", "requirements/prod.txt", "pyproject.toml", "setup.py")
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# Django's release notes: the oldest Python of each major release.
DJANGO_FLOORS = {(6, 0): (3, 12), (5, 0): (3, 10), (4, 0): (3, 8)}


def read_toml(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path.name} of the source is no valid TOML: {error}") from None


def find_requirements(root: Path, wanted: str) -> str:
    """The file that lists what to install, relative to the source's root."""
    if wanted:
        if not (root / wanted).is_file():
            raise SourceError(f"app_requirements is '{wanted}', but the source has no such file. Name one that it has.")
        return wanted
    for name in CANDIDATES:
        if (root / name).is_file():
            return name
    raise SourceError(f"the source has none of {', '.join(CANDIDATES)}: name its requirements file in app_requirements")


def install_arguments(root: Path, requirements: str, extras: list[str]) -> list[str]:
    """What pip gets, run in the source's root.

    A pyproject.toml without a build system only lists what an application needs; with one, the project itself is installed, too.
    """
    folder = str(Path(requirements).parent)
    if Path(requirements).name not in ("pyproject.toml", "setup.py"):
        return ["-r", requirements]
    here = "." if folder == "." else f"./{folder}"
    project = f"{here}[{','.join(extras)}]" if extras else here
    if requirements.endswith("setup.py"):
        return [project]
    content = read_toml(root / requirements)
    listed = content.get("project", {})
    only_lists = "build-system" not in content or content.get("tool", {}).get("poetry", {}).get("package-mode") is False
    if not only_lists or (root / folder / "setup.py").is_file():
        return [project]
    dependencies = list(listed.get("dependencies", []))
    for extra in extras:
        if extra not in listed.get("optional-dependencies", {}):
            raise SourceError(f"app_extras names '{extra}', which {requirements} does not have")
        dependencies += listed["optional-dependencies"][extra]
    if not dependencies:
        raise SourceError(
            f"{requirements} has no build-system and lists no dependencies under [project]: set app_requirements to another file"
        )
    return dependencies


def requirement_lines(root: Path, name: str, seen: set[Path] | None = None) -> list[str]:
    """Requirements of a file and of those that it includes by -r, as written."""
    seen = set() if seen is None else seen
    path = (root / name).resolve()
    if path in seen or not path.is_file():
        return []
    seen.add(path)
    lines = []
    for raw in path.read_text("utf-8", errors="replace").splitlines():
        line = raw.split(" #")[0].split(" --hash")[0].rstrip("\\ ").strip()
        included = re.match(r"(?:-r|--requirement)[ =]?\s*(\S+)", line)
        if included:
            lines += requirement_lines(path.parent, included[1], seen)
        elif line and not line.startswith(("#", "-")):
            lines.append(line)
    return lines


def lower_bound(specifier: str) -> tuple[int, ...] | None:
    """The oldest version that a specifier such as `>=5.2,<6` allows, as far as it says; None where it does not."""
    bounds = [re.findall(r"\d+", match[1]) for match in re.finditer(r"(?:>=|==|~=|>|\^)\s*v?([0-9][0-9.]*)", specifier)]
    return max((tuple(int(part) for part in bound[:3]) for bound in bounds), default=None)


def python_floor(root: Path, requirements: str, install: list[str]) -> tuple[tuple[int, ...], str]:
    """The oldest Python that the project runs on and who says so; ((0, 0), "") where nobody does."""
    found = [((0, 0), "")]
    lines = requirement_lines(root, requirements) if install[0] == "-r" else list(install)
    folder = (root / requirements).parent
    for path in dict.fromkeys((folder / "pyproject.toml", root / "pyproject.toml")):
        if not path.is_file():
            continue
        content = read_toml(path)
        project, poetry = content.get("project", {}), content.get("tool", {}).get("poetry", {}).get("dependencies", {})
        bound = lower_bound(str(project.get("requires-python") or poetry.get("python") or ""))
        if bound:
            found.append((bound[:2], f"requires-python of {path.name}"))
        if install[0] != "-r":
            lines += project.get("dependencies", []) + [f"django{value}" for key, value in poetry.items() if key.lower() == "django"]
    for line in lines:
        match = re.match(r"(?i)django\s*(?:\[[^\]]*\])?\s*([^;@]*)", line)
        # "django-environ" and the like are other packages.
        if not match or re.match(r"(?i)django[-_.]", line):
            continue
        bound = lower_bound(match[1])
        floor = next((python for django, python in DJANGO_FLOORS.items() if bound and bound >= django), None)
        if floor:
            found.append((floor, match[0].strip()))
    return max(found)


def check_application(root: Path, folder: Path, application: str, installed: bool) -> None:
    """Refuse a WSGI path that cannot be."""
    if not re.fullmatch(rf"{NAME}(\.{NAME})*:{NAME}", application):
        raise SourceError(f"app_wsgi is '{application}', which is no 'package.module:callable', for example mysite.wsgi:application")
    check_module(root, folder, "app_wsgi", application, application.partition(":")[0], installed, ":application")


def check_module(root: Path, folder: Path, variable: str, value: str, module: str, installed: bool, suffix: str = "") -> None:
    """Refuse a module that the source does not have. One whose package is nowhere in the source may come with a dependency."""
    relative = Path(*module.split("."))
    paths = (relative.with_suffix(".py"), relative / "__init__.py")
    if any((folder / path).is_file() for path in paths):
        return
    elsewhere = [path for path in root.rglob(f"{relative.name}.py") if "site-packages" not in path.parts]
    if installed and any(str(found.relative_to(root)).endswith(str(paths[0])) for found in elsewhere):
        return
    if not elsewhere and not (folder / relative.parts[0]).is_dir():
        return
    names = sorted(".".join(path.relative_to(folder).with_suffix("").parts) for path in elsewhere if path.is_relative_to(folder))
    hint = f" The source has {', '.join(f'{name}{suffix}' for name in names[:5])}." if names else ""
    raise SourceError(f"{variable} is '{value}', but the source has neither {paths[0]} nor {paths[1]}.{hint} Is app_directory right?")
