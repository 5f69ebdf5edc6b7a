"""`lab progress`: shows how the programs are built, which the part `clusters` does in the background."""

from __future__ import annotations

import time

from lab.kubernetes import foreign, programs
from lab.kubernetes.clusters import progress_file
from lab.settings import Settings
from lab.supervisor import read_pid

LOOK_SECONDS = 2


def follow(settings: Settings) -> int:
    """Print every new line until all programs are there. Returns 1 when nobody builds them."""
    shown = ""
    if foreign.given(settings):
        return 0
    while programs.missing(settings):
        builder = read_pid(settings, "clusters")
        text = latest(settings)
        if text and text != shown:
            print(f"  {text}", flush=True)
            shown = text
        if builder is None or not builder.alive() or "cannot be built" in text:
            return 1
        time.sleep(LOOK_SECONDS)
    return 0


def latest(settings: Settings) -> str:
    """The newest line, empty when there is none."""
    try:
        return progress_file(settings).read_text()
    except FileNotFoundError:
        return ""
