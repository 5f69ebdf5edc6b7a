"""The cache of images, with podman itself."""

from __future__ import annotations

import os
import shutil
import tarfile

import pytest

from lab.image_cache import drop_older
from lab.podman import podman

NAME = f"unit-test-{os.getpid()}"
OLD, USED, NEW = "0" * 12, "1" * 12, "2" * 12


def image(tag: str) -> str:
    return f"localhost/espalier-{NAME}:{tag}"


@pytest.fixture
def archives(tmp_path):
    """Three images in the cache and in podman; the second is a container's."""
    for tag in (OLD, USED, NEW):
        with tarfile.open(tmp_path / f"{NAME}-{tag}.tar", "w") as archive:
            member = tarfile.TarInfo(f"file-{tag}")
            archive.addfile(member)
        podman("import", str(tmp_path / f"{NAME}-{tag}.tar"), image(tag))
    (tmp_path / f"{NAME}-other-{OLD}.tar").touch()
    podman("create", "--name", f"espalier-{NAME}", "--network", "none", image(USED), "/nothing")
    yield tmp_path
    podman("rm", "--force", "--ignore", f"espalier-{NAME}")
    podman("image", "rm", "--force", *(image(tag) for tag in (OLD, USED, NEW)), check=False)


@pytest.mark.skipif(shutil.which("podman") is None, reason="no podman: bin/setup lab installs it")
def test_a_new_image_takes_the_place_of_the_one_before(archives):
    new = archives / f"{NAME}-{NEW}.tar"
    assert drop_older(new, image(NEW)) == [OLD]
    assert sorted(path.name for path in archives.iterdir()) == [f"{NAME}-{USED}.tar", f"{NAME}-{NEW}.tar", f"{NAME}-other-{OLD}.tar"]
    exists = {tag: podman("image", "exists", image(tag), check=False).returncode == 0 for tag in (OLD, USED, NEW)}
    assert exists == {OLD: False, USED: True, NEW: True}
    # Free, it goes with the next one; that podman no longer has its image does not matter.
    podman("rm", f"espalier-{NAME}")
    podman("image", "rm", image(USED))
    assert drop_older(new, image(NEW)) == [USED]
    assert drop_older(new, image(NEW)) == []
