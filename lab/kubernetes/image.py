"""The image of nodes, control planes and the registry: Debian's container runtime and network tools. Kubernetes itself is mounted."""

from __future__ import annotations

from lab.service_image import ServiceImage
from lab.settings import SETTINGS, Settings

IMAGE = ServiceImage(
    name="kubernetes",
    packages=(
        *("containerd", "runc", "containernetworking-plugins", "iptables", "iproute2", "conntrack", "ethtool", "socat"),
        *("mount", "util-linux", "procps", "kmod", "ca-certificates", "docker-registry"),
    ),
)


def build(settings: Settings = SETTINGS) -> str:
    """Make sure that podman has the image and return its name."""
    return IMAGE.build(settings)
