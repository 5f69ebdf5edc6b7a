"""The load balancer's image: Debian's HAProxy 2.6."""

from __future__ import annotations

from lab.service_image import ServiceImage
from lab.settings import SETTINGS, Settings

# Numeric, since only the kernel asks who HAProxy is.
UID = 99

IMAGE = ServiceImage(name="load-balancer", packages=("haproxy",))


def build(settings: Settings = SETTINGS) -> str:
    """Make sure that podman has the image and return its name."""
    return IMAGE.build(settings)
