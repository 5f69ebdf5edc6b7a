"""Machines of a scenario: systemd containers of the lab's image, without the lab.

    python -m tests.molecule.machines boot FOLDER NAME... -- PACKAGE...
    python -m tests.molecule.machines remove NAME...

Each carries an ansible-core that runs on the oldest Python which the suite serves, beside this project, read-only. PACKAGE is there
before the role comes. Where FOLDER has an AWS account, it is the machines' own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
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
# On a machine; molecule/shared/alone.yml knows it, too.
ANSIBLE = "/opt/ansible"
BOOT_SECONDS = 180
INSTALL_SECONDS = 600
# Nobody listens there.
DISCARD_PORT = 9
IMAGE = "localhost/espalier-molecule"
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
apt-get clean
rm /usr/sbin/policy-rc.d
"""


def ansible_on_a_machine(base: str) -> Path:
    """The folder with that ansible-core for the image's Python, made once for each list of requirements."""
    folder = SETTINGS.cache / "ansible" / hashlib.sha256(REQUIREMENTS.read_bytes() + base.encode()).hexdigest()[:12]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work) / "made"
            wheels = ["--only-binary", ":all:", "--python-version", "3.11", "--no-deps", "--require-hashes", "--requirement", REQUIREMENTS]
            quiet = ["--quiet", "--disable-pip-version-check", "--no-compile", "--target", made]
            subprocess.run([VENV_BIN / "python", "-m", "pip", "install", *quiet, *wheels], check=True)
            # By the Python that will run it: machines cannot write there, and would compile it anew each time.
            podman("run", "--rm", "--volume", f"{made}:{ANSIBLE}", base, "python3", "-m", "compileall", "-q", "-j", "0", ANSIBLE)
            # Another scenario may have been quicker.
            if not folder.exists():
                made.rename(folder)
    return folder


def gateway() -> str:
    """This machine's address on podman's own bridge."""
    return podman("network", "inspect", "podman", "--format", "{{(index .Subnets 0).Gateway}}").stdout.decode().strip()


def image_with(base: str, *packages: str) -> str:
    """The lab's image with Debian packages on top, made once for each list of packages; what Debian has changed since is left alone."""
    if not packages:
        return base
    series = f"{IMAGE}:{base.rpartition(':')[2]}"
    tag = f"{series}-{hashlib.sha256(' '.join(sorted(packages)).encode()).hexdigest()[:12]}"
    if not image.exists(tag):
        # Another scenario may want the same.
        name = f"molecule-image-{os.getpid()}"
        environment = [word for variable, value in machine.environment().items() for word in ("--env", f"{variable}={value}")]
        try:
            podman("run", "--detach", "--name", name, base, "sleep", "infinity")
            podman("exec", *environment, name, "sh", "-euc", INSTALL, "sh", *packages, timeout=INSTALL_SECONDS)
            podman("commit", "--quiet", "--change", 'CMD ["/sbin/init"]', name, tag)
        finally:
            remove(name)
        # Of other base images; podman refuses while a machine runs on one.
        for other in podman("images", "--filter", f"reference={IMAGE}", "--format", "{{.Repository}}:{{.Tag}}").stdout.decode().split():
            if not other.startswith(series):
                podman("image", "rm", other, check=False)
    return tag


def boot(folder: str, *words: str) -> None:
    """Start the machines from nothing and wait until their systemd is up."""
    end = words.index("--")
    names, packages = words[:end], words[end + 1 :]
    account = Path(folder) / "account.json"
    port = json.loads(account.read_text())["port"] if account.exists() else DISCARD_PORT
    base = image.build()
    settings = dataclasses.replace(SETTINGS, state=Path(folder) / "state", gateway=gateway(), api_port=port)
    shared = [("--volume", f"{path}:{path}:ro") for path in (ROOT, folder)] + [("--volume", f"{ansible_on_a_machine(base)}:{ANSIBLE}:ro")]
    arguments = [word for option in shared for word in option]
    for name, value in machine.variables(settings).items():
        arguments += ["--env", f"{name}={value}"]
    # cloud-init has nothing to do.
    arguments += ["--volume", "/dev/null:/etc/cloud/cloud-init.disabled:ro"]
    machine_image = image_with(base, *packages)
    remove(*names)
    for name in names:
        instances.boot(name, name, *arguments, settings=settings, machine_image=machine_image)
    deadline = time.monotonic() + BOOT_SECONDS
    for name in names:
        while (state := podman("exec", name, "systemctl", "is-system-running", check=False).stdout.decode().strip()) != "running":
            if state == "degraded" or time.monotonic() > deadline:
                failed = podman("exec", name, "systemctl", "--failed", "--no-legend", check=False).stdout.decode()
                raise SystemExit(f"{name} is {state or 'silent'}: {failed}")
            time.sleep(0.2)


def remove(*names: str) -> None:
    # Killed at once: with a second's grace, podman 4.3 stumbles over a machine that stops at its very end.
    podman("rm", "--force", "--ignore", "--volumes", "--time", "0", *names)


if __name__ == "__main__":
    {"boot": boot, "remove": remove}[sys.argv[1]](*sys.argv[2:])
