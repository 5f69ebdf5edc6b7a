"""The cache of images does not grow for ever: a recipe's new image takes the place of the one before."""

from __future__ import annotations

import re
from pathlib import Path

from lab.podman import podman

NOT_FOUND = 1


def drop_older(archive: Path, image: str) -> list[str]:
    """Remove the other archives of the same name, and podman's images of them; returns their tags.

    `archive` is <name>-<tag>.tar, `image` the name and tag under which podman has it. What a container is made of stays, for its lab may be
    another clone's, which needs the archive when podman's storage is wiped.
    """
    name, tag = archive.stem.rsplit("-", 1)
    removed = []
    for other in sorted(archive.parent.glob(f"{name}-*.tar")):
        found = re.fullmatch(re.escape(name) + r"-([0-9a-f]{12})\.tar", other.name)
        if found is None or found[1] == tag:
            continue
        # podman refuses while a container uses it.
        if podman("image", "rm", f"{image.rpartition(':')[0]}:{found[1]}", check=False).returncode in (0, NOT_FOUND):
            other.unlink(missing_ok=True)
            removed.append(found[1])
    if removed:
        print(f"  {name} image: removed from the cache: {', '.join(removed)}", flush=True)
    return removed
