"""promtool, of the Prometheus that runs in the lab: built into the cache in a process of its own, while other tests run.

    python -m tests.unit.promtool

Debian's lacks the discovery of Kubernetes and EC2, so that it refuses our configuration.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from lab.go import BuildError
from lab.kubernetes import programs
from lab.settings import SETTINGS
from tests.tree import ROOT

PROMTOOL = (programs.PROMTOOL,)


class Build:
    """Begins at once where there is something to build."""

    def __init__(self) -> None:
        self.process = None
        if programs.missing(SETTINGS, PROMTOOL):
            command = [sys.executable, "-m", "tests.unit.promtool"]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )

    def await_program(self, say: Callable[[str], None]) -> Path:
        """Where it is. `say` gets the lines of progress. Raises BuildError."""
        lines = []
        for line in self.process.stdout if self.process else ():
            lines.append(line.rstrip())
            say(f"  {lines[-1]}")
        if self.process and self.process.wait():
            raise BuildError("\n".join(lines[-5:]))
        return programs.path(programs.PROMTOOL, SETTINGS)

    def close(self) -> None:
        """Nobody waits for it any more; what was compiled is kept."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


if __name__ == "__main__":
    try:
        programs.build(SETTINGS, PROMTOOL)
    except BuildError as error:
        sys.exit(str(error))
