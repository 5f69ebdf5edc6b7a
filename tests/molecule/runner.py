"""Runs molecule on scenarios of this tree or of a copy of it, a few side by side, and says when each is done."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tests.tree import ROOT

FOLDER = ROOT / ".test" / "molecule"
# Ansible and apt wait much: two at once keep two cores busy.
JOBS = int(os.environ.get("MOLECULE_JOBS", "2"))
# For one that hangs, not for one that is slow beside other work.
LIMIT_SECONDS = 1500
# molecule destroys what it has made also after a failure: what went wrong stands before this line.
AFTER_FAILURE = "An error occurred during the test sequence"


@dataclass
class Outcome:
    """A finished command of molecule."""

    returncode: int
    output: str
    seconds: float

    def words(self) -> str:
        return f"{'passed' if self.returncode == 0 else 'red'} after {self.seconds:.0f} s"

    def tail(self, lines: int = 120) -> str:
        """The last lines before molecule cleaned up."""
        return "\n".join(self.output.partition(AFTER_FAILURE)[0].splitlines()[-lines:])


def molecule(command: str, scenario: str, root: Path, folder: Path) -> Outcome:
    """Run one command of molecule (`test`, `converge`, `verify`, `destroy`) in the tree at `root`.

    Its words go to `folder`/<command>.log, the scenario's state to `folder`/state: clones and runs do not share it.
    """
    started, log, state = time.monotonic(), folder / f"{command}.log", folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    if command == "test":
        # Of a run that was killed: molecule would believe that all is there.
        (state / "state.yml").unlink(missing_ok=True)
    environment = {**os.environ, "MOLECULE_EPHEMERAL_DIRECTORY": str(state), "NO_COLOR": "1"}
    arguments = ["molecule", command, "--scenario-name", scenario, "--no-report", "--no-command-borders"]
    with log.open("wb") as output:
        done = subprocess.run(
            arguments, cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS, check=False
        )
    return Outcome(done.returncode, log.read_text("utf-8", errors="replace"), time.monotonic() - started)


class SideBySide:
    """Jobs in their order, as many at once as there are workers. `say` gets name and outcome of each that ends."""

    def __init__(self, jobs: dict[str, Callable[[], Outcome]], say: Callable[[str, Outcome], None]) -> None:
        self.waiting, self.say, self.lock = deque(jobs.items()), say, threading.Lock()
        self.futures: dict[str, Future] = {name: Future() for name in jobs}
        self.workers: list[threading.Thread] = []

    def employ(self, count: int) -> None:
        """Have so many workers."""
        while len(self.workers) < count:
            self.workers.append(threading.Thread(target=self._work))
            self.workers[-1].start()

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self.waiting.clear()
        for worker in self.workers:
            worker.join()

    def _work(self) -> None:
        while True:
            try:
                name, job = self.waiting.popleft()
            except IndexError:
                return
            try:
                outcome = job()
            except Exception as error:
                outcome = Outcome(-1, f"{type(error).__name__}: {error}", 0)
            with self.lock:
                self.say(name, outcome)
            self.futures[name].set_result(outcome)
