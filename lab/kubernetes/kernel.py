"""What nodes need of this machine's kernel, which all containers share."""

from __future__ import annotations

from pathlib import Path

WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
# The kernel's own default is 128 for all of root's programs together, systemd in every instance of the lab among them; a node with its
# pods takes about 40. Too few, and containerd or kubelet end with "too many open files".
WATCHERS_NEEDED = 512


def trouble(watchers: Path = WATCHERS) -> str:
    """Make sure of the kernel's settings, until the machine boots again; what is wrong and what to do where that may not be, else empty."""
    try:
        if int(watchers.read_text()) < WATCHERS_NEEDED:
            watchers.write_text(str(WATCHERS_NEEDED))
    except OSError as error:
        return (
            f"fs.inotify.max_user_instances is below {WATCHERS_NEEDED} and cannot be raised from here ({error.strerror}), so that nodes may"
            f" end with 'too many open files'. On the machine itself: sysctl fs.inotify.max_user_instances={WATCHERS_NEEDED}"
        )
    return ""
