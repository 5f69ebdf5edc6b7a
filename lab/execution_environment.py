"""The execution environment: `python -m lab.execution_environment` builds what execution-environment.yml says, with ansible-builder.

Without `--base` its base image is made here, by mmdebstrap, so that no container registry is needed. How this machine reaches Debian's and
PyPI's registries is lent to the build and is not in the image.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import machine, session_client
from lab.podman import PodmanError, podman
from lab.service_image import ServiceImage
from lab.settings import ROOT, SETTINGS, Settings

TAG = "localhost/espalier-ee:latest"
DEFINITION = ROOT / "execution-environment.yml"
BUILDER = Path(sys.executable).with_name("ansible-builder")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Cold, on two slow cores.
BUILD_SECONDS = 900
SUITE = "trixie"
# The image that comes of it is used on other machines, too.
FINISH = f"""
cat > "$1/etc/apt/sources.list" <<'END'
{machine.DEFAULT_SOURCES.format(suite=SUITE)}END
rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf"
"""
BASE = ServiceImage(name="debian", suite=SUITE, packages=("apt", "ca-certificates"), finish=FINISH)


def build(base: str = "", tag: str = TAG, settings: Settings = SETTINGS) -> str:
    """Build the image and return its name. What has not changed since the last time is not built again.

    `base` is a Debian image of a registry; the lab's own when empty. Raises RuntimeError, with the end of the build's log, when it fails.
    """
    started = time.monotonic()
    stage_programs(settings)
    own = not base
    base = base or BASE.build(settings)
    print(f"  execution environment: building on {base} ...", flush=True)
    log = settings.state / "log" / "execution-environment.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.state / "ee") as folder:
        context = Path(folder) / "context"
        context.mkdir()
        # They would change with each run of a test, and the layers with them.
        (context / ".containerignore").write_text("**/__pycache__\n")
        command = [
            BUILDER, "build", "--container-runtime", "podman", "--file", DEFINITION, "--context", context, "--tag", tag,
            "--build-arg", f"EE_BASE_IMAGE={base}", "--verbosity", "3",
            "--extra-build-cli-args", " ".join(["--network=host", *lent(Path(folder), own)]),
        ]  # fmt: skip
        follow([str(word) for word in command], log)
    size = json.loads(podman("image", "inspect", tag).stdout)[0]["Size"]
    print(f"  execution environment: {tag}, {size >> 20} MiB, in {time.monotonic() - started:.0f} s", flush=True)
    return tag


def stage_programs(settings: Settings) -> None:
    """Put Amazon's client, helm and kubectl where execution-environment.yml takes them from: the files themselves, since ansible-builder
    copies links as links."""
    folder = settings.state / "ee"
    folder.mkdir(parents=True, exist_ok=True)
    tools = Path(sys.executable).parent
    for name, program in {
        session_client.NAME: session_client.build(settings),
        "helm": tools / "helm",
        "kubectl": tools / "kubectl",
    }.items():
        target = folder / name
        if not target.exists() or target.read_bytes() != program.read_bytes():
            shutil.copy2(program, target)


def lent(folder: Path, own_base: bool) -> list[str]:
    """podman's options that lend this machine's package settings to a build."""
    files = {"/etc/apt/apt.conf.d/90machine": ("apt.conf", machine.apt_configuration()), "/etc/pip.conf": ("pip.conf", pip_configuration())}
    if own_base:
        files["/etc/apt/sources.list"] = ("sources.list", machine.apt_sources(SUITE))
    options = []
    for target, (name, text) in files.items():
        (folder / name).write_text(text)
        options.append(f"--volume={folder / name}:{target}:ro")
    if BUNDLE.exists():
        options.append(f"--volume={BUNDLE}:/run/pip-ca.crt:ro")
    return options


def pip_configuration() -> str:
    """The machine's pip settings as a pip.conf."""
    lines = ["cert = /run/pip-ca.crt"] if BUNDLE.exists() else []
    for name, value in machine.environment().items():
        if name.startswith("PIP_"):
            lines.append(f"{name.removeprefix('PIP_').lower().replace('_', '-')} = {value}")
    return "\n".join(["[global]", *lines, ""])


def follow(command: list[str], log: Path) -> None:
    """Run the build, show each of its steps, and keep everything that it prints in `log`."""
    # Line by line, also into a pipe.
    environment = {**os.environ, "CONTAINERS_CONF": str(ROOT / "lab" / "containers.conf"), "PYTHONUNBUFFERED": "1"}
    deadline = time.monotonic() + BUILD_SECONDS
    with log.open("w") as file, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:  # fmt: skip
        for line in process.stdout:
            file.write(line)
            if "STEP " in line and any(word in line for word in (" RUN ", " COPY ")):
                print(f"    {line.strip()[:130]}", flush=True)
            if time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"the execution environment was not built in {BUILD_SECONDS} s; its log is {log}")
    if process.returncode != 0:
        last = "\n".join(log.read_text().splitlines()[-25:])
        raise RuntimeError(f"ansible-builder failed; its log is {log}\n{last}")


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.execution_environment", description=__doc__)
    parser.add_argument("--base", default="", help="Debian image to build on (default: one made here)")
    parser.add_argument("--tag", default=TAG, help=f"name of the image (default {TAG})")
    arguments = parser.parse_args()
    try:
        build(arguments.base, arguments.tag)
    except (RuntimeError, PodmanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
