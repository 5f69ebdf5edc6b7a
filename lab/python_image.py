"""What the lab builds application images on, in place of a registry's python image: Debian 12 with its Python."""

from __future__ import annotations

from lab.podman import podman
from lab.service_image import ServiceImage
from lab.settings import SETTINGS, Settings

# A name that stays: inventories name it.
NAME = "localhost/espalier-python:lab"
# As the registry's image calls it.
FINISH = """
ln -s /usr/bin/python3 "$1/usr/local/bin/python"
rm -f "$1/etc/hostname" "$1/etc/resolv.conf"
"""
IMAGE = ServiceImage(
    name="python",
    # tzdata: Django knows no time without it, and the registry's image has it.
    packages=("apt", "python3", "python3-venv", "python3-pip", "ca-certificates", "tzdata"),
    finish=FINISH,
)


def build(settings: Settings = SETTINGS) -> str:
    """Make sure that podman has the image and return its name."""
    podman("tag", IMAGE.build(settings), NAME)
    return NAME
