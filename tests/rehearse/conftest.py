"""The rehearsals are kept as the end-to-end sequence is: same recorder, same stop after a failed build step, same diagnosis."""

from tests.e2e.conftest import (
    _stop_after_a_failed_build_step,
    known_secrets,
    pytest_configure,
    pytest_runtest_makereport,
    recorder,
    system,
)

__all__ = [
    "_stop_after_a_failed_build_step",
    "known_secrets",
    "pytest_configure",
    "pytest_runtest_makereport",
    "recorder",
    "system",
]
