"""Runs molecule on scenarios of this tree or of a copy of it, a few side by side, and says when each is done."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Ansible and apt wait much: two at once keep two cores busy.
JOBS = int(os.environ.get("MOLECULE_JOBS", "2"))
LIMIT_SECONDS = 900
# molecule destroys what it has made also after a failure: what went wrong stands before this line.
AFTER_FAILURE = "An error occurred during the test sequence"


@dataclass
class Outcome:
    """A finished command of molecule."""

    returncode: int
    output: str
    seconds: float

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


@contextmanager
def side_by_side(jobs: dict[str, Callable[[], Outcome]], say: Callable[[str], None]) -> Iterator[dict[str, Future]]:
    """Start all jobs, JOBS at once, in their order. `say` gets a line for each that ends."""
    started, pool = time.monotonic(), ThreadPoolExecutor(JOBS)

    def ended(name: str, future: Future) -> None:
        if not future.cancelled() and not future.exception():
            outcome = future.result()
            say(f"  {name}: {'passed' if outcome.returncode == 0 else 'red'} after {outcome.seconds:.0f} s")
        if all(other.done() for other in futures.values()):
            say(f"  {len(futures)} in {time.monotonic() - started:.0f} s, {JOBS} at once")

    futures: dict[str, Future] = {name: pool.submit(job) for name, job in jobs.items()}
    for name, future in futures.items():
        future.add_done_callback(lambda done, name=name: ended(name, done))
    try:
        yield futures
    finally:
        pool.shutdown(cancel_futures=True)
