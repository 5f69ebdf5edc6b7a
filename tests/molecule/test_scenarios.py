"""One molecule scenario for each role. `make molecule ROLE=nginx` runs one of them."""

from __future__ import annotations

import pytest

from tests.tree import ROLES, ROOT


def test_every_role_has_a_scenario():
    missing = [role for role in ROLES if not (ROOT / "molecule" / role / "verify.py").exists()]
    assert not missing


@pytest.mark.parametrize("role", ROLES)
def test_scenario(role, scenarios, pytestconfig):
    plugins = pytestconfig.pluginmanager
    # Uncaptured, so that whatever ends meanwhile can be said.
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        outcome = scenarios.outcome(role, plugins.get_plugin("terminalreporter").write_line)
    assert outcome.returncode == 0, f"whole log: .test/molecule/{role}/test.log\n{outcome.tail()}"
