"""The scenarios begin with the session, one at a time: the tests that come before them, which wait much, leave a core idle."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.molecule.runner import FOLDER, JOBS, Outcome
from tests.tree import ROOT


class Scenarios:
    """Those of this run."""

    def __init__(self, roles: list[str]) -> None:
        command = [sys.executable, "-m", "tests.molecule.scenarios", *roles]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.outcomes: dict[str, Outcome] = {}

    def hurry(self) -> None:
        """Nobody else needs the cores now."""
        self.process.stdin.write(f"{JOBS}\n")
        self.process.stdin.flush()

    def outcome(self, role: str, say) -> Outcome:
        """Wait for it. `say` gets a line for each that has ended meanwhile."""
        while role not in self.outcomes:
            line = self.process.stdout.readline()
            assert line, "what runs the scenarios has ended"
            name, returncode, seconds = json.loads(line)
            self.outcomes[name] = Outcome(returncode, (FOLDER / name / "test.log").read_text("utf-8", errors="replace"), seconds)
            say(f"  {name}: {self.outcomes[name].words()}")
        return self.outcomes[role]

    def close(self) -> None:
        """Begin no more, and wait for what runs."""
        self.process.communicate()


RUNNING = pytest.StashKey[Scenarios]()


def pytest_collection_finish(session: pytest.Session) -> None:
    roles = [item.callspec.params["role"] for item in session.items if item.name.startswith("test_scenario[")]
    if roles and not session.config.option.collectonly:
        session.config.stash[RUNNING] = Scenarios(roles)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if RUNNING in session.config.stash:
        session.config.stash[RUNNING].close()


@pytest.fixture(scope="session")
def scenarios(pytestconfig) -> Scenarios:
    running = pytestconfig.stash[RUNNING]
    running.hurry()
    return running
