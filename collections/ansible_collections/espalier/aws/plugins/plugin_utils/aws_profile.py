# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys that are given beat the shell's profile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NAMES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


@contextlib.contextmanager
def shell_profile_hidden(hidden: bool) -> Iterator[None]:
    """Take the shell's profile out of the environment for the time of the block.

    botocore fails on a profile that its files do not have even when it is given keys, with which it would need no profile.
    """
    saved = {name: os.environ.pop(name) for name in NAMES if hidden and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(saved)
