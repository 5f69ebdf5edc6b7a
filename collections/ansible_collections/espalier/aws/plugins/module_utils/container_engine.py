# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Podman or Docker on this machine: build an image and push it, with credentials that stand in no argument."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ENGINES = ("podman", "docker")
BUILD_SECONDS, PUSH_SECONDS = 1800, 900
PLATFORMS = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


class EngineError(Exception):
    """An image that cannot be made; the message says why."""


def find_engine(wanted: str, environment: Mapping[str, str]) -> str:
    """Path of the engine. Raises EngineError."""
    search = environment.get("PATH") or os.environ.get("PATH", os.defpath)
    for name in [wanted] if wanted else ENGINES:
        found = shutil.which(name, path=search)
        if found:
            return found
    raise EngineError(
        f"{wanted + ' was not' if wanted else 'neither podman nor docker was'} found on this machine, and the release has no image yet. "
        "Install Podman or Docker, or let a machine that has one run this."
    )


class Engine:
    """`registry` is where images go: ECR's address, https on AWS."""

    def __init__(self, path: str, environment: Mapping[str, str], registry: str, token: str, scratch: Path) -> None:
        self.path, self.environment = path, {**os.environ, **environment}
        self.is_podman = Path(path).name.startswith("podman")
        address = urlsplit(registry)
        self.host, self.plain = address.netloc, address.scheme == "http"
        self.login = scratch / "login"
        self.login.mkdir(mode=0o700)
        # What `login` would write into the user's home, and leave there.
        file = self.login / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"auths": {self.host: {"auth": token}}}))

    def build(
        self,
        reference: str,
        dockerfile: Path,
        context: Path,
        machine: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        more: Sequence[str] = (),
    ) -> None:
        options = [*more, "--file", str(dockerfile), "--tag", reference]
        for name, value in sorted(arguments.items()):
            options += ["--build-arg", f"{name}={value}"]
        for name, value in sorted(labels.items()):
            options += ["--label", f"{name}={value}"]
        if machine != platform.machine():
            options += ["--platform", PLATFORMS[machine]]
        self._run(["build", *options, str(context)], BUILD_SECONDS, "the image cannot be built")

    def push(self, reference: str) -> None:
        options, environment = [], {}
        if self.is_podman:
            options = ["--authfile", str(self.login / "config.json"), *(["--tls-verify=false"] if self.plain else [])]
        else:
            environment = {"DOCKER_CONFIG": str(self.login)}
        self._run(["push", *options, reference], PUSH_SECONDS, "the image cannot be pushed", environment)

    def forget(self, reference: str) -> None:
        """The registry has it now. What the engine keeps all the same is its own business."""
        subprocess.run([self.path, "rmi", reference], env=self.environment, capture_output=True, timeout=60, check=False)

    def _run(self, arguments: list[str], seconds: int, complaint: str, environment: Mapping[str, str] | None = None) -> None:
        try:
            done = subprocess.run(
                [self.path, *arguments],
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(f"{complaint}: {Path(self.path).name} {arguments[0]} took more than {seconds} s") from None
        if done.returncode:
            words = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-20:])
            raise EngineError(f"{complaint}: {Path(self.path).name} {arguments[0]} answered {done.returncode}:\n{words}")
