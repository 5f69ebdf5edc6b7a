# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wheels of everything that a project needs, for another machine's Python and platform than this one's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.espalier.aws.plugins.module_utils.source_archive import SourceError

DRIVERS = {"psycopg", "psycopg2", "psycopg2-binary"}
# The server, what it tells Prometheus, and static files where there is no Nginx.
SERVED_WITH = ("gunicorn", "prometheus-client", "whitenoise")
# Newest glibc of a wheel, and every older one: Ubuntu 22.04 has 2.35, Debian 12 has 2.36.
NEWEST_GLIBC = 35
# Without a wheel, a package is built here, and is of use only when it is pure Python. More than a few say that something else is wrong.
MOST_BUILT = 20

# pip reads environment markers (`; python_version < "3.11"`) for the Python that it runs on, whatever --python-version says.
PIP = """
import json, sys
from pip._vendor.packaging import markers
from pip._internal.cli.main import main
target = json.loads(sys.argv.pop(1))
own = markers.default_environment
markers.default_environment = lambda: {**own(), **target}
sys.exit(main())
"""


def marker_environment(python: str, machine: str) -> dict[str, str]:
    """What markers see on an instance."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def platforms(machine: str) -> list[str]:
    """Tags of wheels that run there."""
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)), f"manylinux2014_{machine}", f"linux_{machine}"]


def name_of(file: str) -> str:
    """Normalised name of a wheel or a source archive."""
    return re.sub(r"[-_.]+", "-", re.split(r"-\d", file, maxsplit=1)[0]).lower()


class Wheelhouse:
    """A folder of wheels for one Python and one kind of machine. `root` is where the requirements' relative paths start."""

    def __init__(self, folder: Path, root: Path, python: str, machine: str) -> None:
        self.folder, self.root, self.python, self.machine = folder, root, python, machine
        self.environment = json.dumps(marker_environment(python, machine))

    def names(self) -> set[str]:
        return {name_of(path.name) for path in self.folder.glob("*.whl")}

    def _pip(self, *arguments: str, target: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PIP, self.environment] if target else [sys.executable, "-m", "pip"]
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        return subprocess.run([*command, *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def _download(self, requirements: list[str]) -> subprocess.CompletedProcess[str]:
        tags = [word for tag in platforms(self.machine) for word in ("--platform", tag)]
        chosen = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", self.python, *tags]
        return self._pip(
            "download", "--quiet", "--dest", str(self.folder), "--find-links", str(self.folder), *chosen, *requirements, target=True
        )

    def add(self, requirements: list[str]) -> None:
        """Bring the wheels of `pip install` arguments and of all that they need. Raises SourceError naming what has none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = [self._project(word) if word.startswith(".") else word for word in requirements]
        built: set[str] = set()
        while (done := self._download(wanted)).returncode:
            missing = re.search(r"No matching distribution found for ([^\s;]+)", done.stderr)
            if not missing or missing[1] in built or len(built) >= MOST_BUILT:
                raise SourceError(self._complaint(done.stderr, missing[1] if missing else ""))
            built.add(missing[1])
            self._build(missing[1])
        for path in [path for path in self.folder.iterdir() if path.suffix != ".whl"]:
            self._build(str(path))
            path.unlink()

    def _project(self, word: str) -> str:
        """The project itself as a wheel; its extras stay."""
        path, bracket, extras = word.partition("[")
        return f"{self._build(path)}{bracket}{extras}"

    def _build(self, requirement: str) -> Path:
        """A wheel out of source code, built by this machine's Python."""
        with tempfile.TemporaryDirectory(prefix="espalier-wheel-") as scratch:
            done = self._pip("wheel", "--quiet", "--no-deps", "--wheel-dir", scratch, requirement)
            wheels = list(Path(scratch).glob("*.whl"))
            if done.returncode or len(wheels) != 1:
                raise SourceError(self._complaint(done.stderr, requirement))
            if not wheels[0].name.endswith("-none-any.whl"):
                raise SourceError(self._complaint("it has to be compiled", requirement))
            target = self.folder / wheels[0].name
            target.write_bytes(wheels[0].read_bytes())
            return target

    def _complaint(self, errors: str, package: str) -> str:
        words = [line.removeprefix("ERROR: ") for line in errors.strip().splitlines() if not line.startswith(("WARNING", "[notice]"))]
        cause = " ".join(words[-3:])[-600:]
        if not package:
            return f"the packages cannot be had: {cause}"
        return (
            f"{package} has no wheel for Python {self.python} on {self.machine} Linux, and instances compile nothing: {cause}. "
            "Choose a version that has one, put a wheel of your own into an index that pip is configured for, "
            "or set app_python_version to the instances' Python if it is another."
        )


def fill(wheelhouse: Wheelhouse, install: list[str], packages: list[str], database: bool) -> None:
    """What the project asks for, and what it needs to be served where it does not say so itself."""
    wheelhouse.add(install)
    if packages:
        wheelhouse.add(packages)
    names = wheelhouse.names()
    missing = [name for name in SERVED_WITH if name not in names]
    if missing:
        wheelhouse.add(missing)
    if database and not names & DRIVERS:
        wheelhouse.add(["psycopg[binary]"])
