"""Machines of a scenario: systemd containers of the lab's image, without the lab.

    python -m tests.molecule.machines boot FOLDER NAME...
    python -m tests.molecule.machines remove NAME...

Each carries an ansible-core that runs on the oldest Python which the suite serves, beside this project, read-only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import image, instances, machine
from lab.podman import podman
from lab.settings import SETTINGS
from tests.tree import ROOT, VENV_BIN

REQUIREMENTS = ROOT / "playbooks" / "bundle" / "requirements.txt"
BOOT_SECONDS = 180


def ansible_on_a_machine() -> Path:
    """The folder with that ansible-core for the image's Python, made once for each list of requirements."""
    folder = SETTINGS.cache / "ansible" / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work) / "made"
            wheels = ["--only-binary", ":all:", "--python-version", "3.11", "--no-deps", "--require-hashes", "--requirement", REQUIREMENTS]
            quiet = ["--quiet", "--disable-pip-version-check", "--target", made]
            subprocess.run([VENV_BIN / "python", "-m", "pip", "install", *quiet, *wheels], check=True)
            # Another scenario may have been quicker.
            if not folder.exists():
                made.rename(folder)
    return folder


def boot(folder: str, *names: str) -> None:
    """Start the machines from nothing and wait until their systemd is up."""
    settings = dataclasses.replace(SETTINGS, state=Path(folder) / "state")
    shared = [("--volume", f"{path}:{path}:ro") for path in (ROOT, folder)] + [("--volume", f"{ansible_on_a_machine()}:/opt/ansible:ro")]
    arguments = [word for option in shared for word in option]
    for name, value in machine.variables(settings).items():
        arguments += ["--env", f"{name}={value}"]
    # cloud-init has nothing to do.
    arguments += ["--volume", "/dev/null:/etc/cloud/cloud-init.disabled:ro"]
    image.build()
    remove(*names)
    for name in names:
        instances.boot(name, name, *arguments, settings=settings)
    deadline = time.monotonic() + BOOT_SECONDS
    for name in names:
        while (state := podman("exec", name, "systemctl", "is-system-running", check=False).stdout.decode().strip()) != "running":
            if state == "degraded" or time.monotonic() > deadline:
                failed = podman("exec", name, "systemctl", "--failed", "--no-legend", check=False).stdout.decode()
                raise SystemExit(f"{name} is {state or 'silent'}: {failed}")
            time.sleep(0.2)


def remove(*names: str) -> None:
    podman("rm", "--force", "--ignore", "--volumes", "--time", "1", *names)


if __name__ == "__main__":
    {"boot": boot, "remove": remove}[sys.argv[1]](*sys.argv[2:])
