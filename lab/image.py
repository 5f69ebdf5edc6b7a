"""The base image of every machine of the lab: Debian 12 with what Canonical's image has and an instance needs, made by mmdebstrap."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lab import machine
from lab.image_cache import drop_older
from lab.podman import podman
from lab.settings import SETTINGS, Settings

NAME = "localhost/espalier-machine"
FILES = Path(__file__).parent / "machine_image"
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "cloud-init", "sudo", "cron", "procps", "iproute2", "netbase", "tzdata"),
    *("ca-certificates", "curl", "gpgv", "python3", "python3-apt"),
]
# Run by mmdebstrap outside the new root, which is $1.
FINISH = r"""
chroot "$1" update-ca-certificates
chroot "$1" useradd --create-home --shell /bin/bash ssm-user
chmod 0440 "$1/etc/sudoers.d/ssm-agent-users"
# Ubuntu's sudo reads /etc/environment, Debian's does not.
sed -i '1a session required pam_env.so readenv=1 user_readenv=0' "$1/etc/pam.d/sudo"
chroot "$1" systemctl enable amazon-ssm-agent.service
# Of the machine under the lab, not of an instance.
chroot "$1" systemctl mask getty.target console-getty.service systemd-udevd.service systemd-timesyncd.service \
  apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer
echo 'LANG=C.UTF-8' > "$1/etc/default/locale"
rm -f "$1/etc/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
"""


def recipe() -> str:
    """Everything that the image is made of, as text."""
    parts = [" ".join(PACKAGES), FINISH, machine.apt_sources(), machine.apt_configuration()]
    parts += [f"{name}\n{text}" for name, text in machine.certificate_authorities().items()]
    parts += [f"{path.relative_to(FILES)}\n{path.read_text()}" for path in sorted(FILES.rglob("*")) if path.is_file()]
    return "\0".join(parts)


@functools.cache
def tag() -> str:
    """Name and tag of the image that this recipe makes, built or not."""
    return f"{NAME}:{hashlib.sha256(recipe().encode()).hexdigest()[:12]}"


def exists(image: str) -> bool:
    """Whether podman has the image."""
    return podman("image", "exists", image, check=False).returncode == 0


def build(settings: Settings = SETTINGS) -> str:
    """Make sure that podman has the base image and return its name: out of podman's storage, the cache or the recipe, in this order."""
    image = tag()
    if exists(image):
        return image
    started = time.monotonic()
    archive = settings.cache / "images" / f"machine-{image.rpartition(':')[2]}.tar"
    if not archive.exists():
        print(f"  base image: building with mmdebstrap ({len(PACKAGES)} packages and what they need) ...", flush=True)
        bootstrap(archive)
        print(f"  base image: built in {time.monotonic() - started:.0f} s, {archive.stat().st_size >> 20} MiB", flush=True)
        drop_older(archive, image)
    loading = time.monotonic()
    podman("import", "--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3", str(archive), image, timeout=300)
    print(f"  base image: loaded into podman in {time.monotonic() - loading:.0f} s", flush=True)
    return image


def bootstrap(archive: Path) -> None:
    """Make the root file system's tar. Half-made files never take the archive's name."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        work = Path(folder)
        extra = work / "files"
        shutil.copytree(FILES, extra)
        authorities = extra / "usr/local/share/ca-certificates"
        authorities.mkdir(parents=True)
        for name, text in machine.certificate_authorities().items():
            (authorities / name).write_text(text)
        (extra / "etc/apt/apt.conf.d").mkdir(parents=True)
        (extra / "etc/apt/apt.conf.d/90machine").write_text(machine.apt_configuration())
        (work / "sources.list").write_text(machine.apt_sources())
        (work / "finish").write_text("#!/bin/sh\nset -eu\n" + FINISH)
        (work / "finish").chmod(0o755)
        log = work / "log"
        with log.open("wb") as output:
            result = subprocess.run(
                [
                    "mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}",
                    "--aptopt=Acquire::Languages \"none\"", "--aptopt=APT::Install-Recommends \"false\"",
                    "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                    "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=force-unsafe-io",
                    f"--customize-hook=sync-in {extra} /", f"--customize-hook={work / 'finish'}",
                    # The lists stay: `apt-get update` then only asks whether they are current.
                    "--skip=cleanup/apt/lists,cleanup/reproducible",
                    "bookworm", str(work / "root.tar"), str(work / "sources.list"),
                ],
                stdout=output, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if result.returncode != 0:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"mmdebstrap failed:\n{last}")
        (work / "root.tar").rename(archive)
