"""The checks alone, against a system that stands: `make lab && pytest tests/acceptance`."""

from __future__ import annotations

import pytest

from tests.acceptance.checks import EVERYTHING, KUBERNETES
from tests.acceptance.system import System


@pytest.fixture(scope="session")
def system() -> System:
    return System()


@pytest.mark.parametrize("name", EVERYTHING | KUBERNETES)
def test_built_system(system, name):
    (EVERYTHING | KUBERNETES)[name](system)
