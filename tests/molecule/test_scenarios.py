"""One molecule scenario for each role. `make molecule ROLE=nginx` runs one of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.molecule.runner import molecule, side_by_side
from tests.tree import ROLES, ROOT, texts

FOLDER = ROOT / ".test" / "molecule"
ON_MACHINES = {path.parent.name for path, text in texts("molecule/*/molecule.yml").items() if "machines:" in text}


@pytest.fixture(scope="session")
def scenarios(request) -> Iterator[dict[str, Future]]:
    """The scenarios of this run, all started."""
    names = [item.callspec.params["role"] for item in request.session.items if item.function is test_scenario]
    # The longest first, so that none of them is left alone at the end.
    names.sort(key=lambda name: name not in ON_MACHINES)
    jobs = {name: functools.partial(molecule, "test", name, ROOT, FOLDER / name) for name in names}
    with side_by_side(jobs, request.config.pluginmanager.get_plugin("terminalreporter").write_line) as futures:
        yield futures


def test_every_role_has_a_scenario():
    missing = [role for role in ROLES if not (ROOT / "molecule" / role / "verify.py").exists()]
    assert not missing


@pytest.mark.parametrize("role", ROLES)
def test_scenario(role, scenarios, pytestconfig):
    # Uncaptured, so that whatever ends meanwhile can be said.
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        outcome = scenarios[role].result()
    assert outcome.returncode == 0, f"whole log: .test/molecule/{role}/test.log\n{outcome.tail()}"
