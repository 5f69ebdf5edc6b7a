"""The scenarios run beside the tests that come before them, one at a time: those leave a core idle."""

from __future__ import annotations

import functools

import pytest

from tests.molecule.runner import SideBySide, molecule
from tests.tree import ROOT, texts

FOLDER = ROOT / ".test" / "molecule"
ON_MACHINES = {path.parent.name for path, text in texts("molecule/*/molecule.yml").items() if "machines:" in text}


class Scenarios(SideBySide):
    """The scenarios of this run. What ends while other tests run is said later."""

    def __init__(self, names: list[str], write_line) -> None:
        # The longest first, so that none of them is left alone at the end.
        names.sort(key=lambda name: name not in ON_MACHINES)
        super().__init__({name: functools.partial(molecule, "test", name, ROOT, FOLDER / name) for name in names}, self.note)
        self.lines: list[str] = []
        self.aloud, self.write_line = False, write_line

    def note(self, line: str) -> None:
        self.lines.append(line)
        if self.aloud:
            self.speak()

    def speak(self) -> None:
        lines, self.lines = self.lines, []
        for line in lines:
            self.write_line(line)


RUNNING = pytest.StashKey[Scenarios]()


def pytest_collection_finish(session: pytest.Session) -> None:
    names = [item.callspec.params["role"] for item in session.items if item.name.startswith("test_scenario[")]
    scenarios = Scenarios(names, session.config.pluginmanager.get_plugin("terminalreporter").write_line)
    session.config.stash[RUNNING] = scenarios
    if names and not session.config.option.collectonly:
        scenarios.employ(1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if RUNNING in session.config.stash:
        session.config.stash[RUNNING].close()


@pytest.fixture
def scenarios(pytestconfig) -> Scenarios:
    return pytestconfig.stash[RUNNING]
