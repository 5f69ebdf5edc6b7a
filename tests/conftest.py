"""What every test run has: the tree's files at hand, skips said aloud, and one closing line that a script can read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.tree import VENV_BIN

# `.venv/bin/pytest` in a shell that has not activated .venv finds the same programs as `make test`.
os.environ["PATH"] = f"{VENV_BIN}:{os.environ['PATH']}"

# Failed checks show their values. Not tests.acceptance.secrets: what that one compares must not be printed.
pytest.register_assert_rewrite(
    *(f"tests.acceptance.{name}" for name in ("system", "network", "data", "edge", "compute", "monitoring", "app"))
)


def _outcomes(config: pytest.Config) -> dict[str, list]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats if reporter else {}


def pytest_terminal_summary(terminalreporter) -> None:
    """What was not proved on this machine must not hide behind a small `s`."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT PROVED ON THIS MACHINE", sep="!", yellow=True, bold=True)
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}", yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    """Print the closing line after pytest's own: `123 passed, 0 failed, 2 skipped`. Every error, of collection too, is a failure."""
    yield
    if config.option.collectonly or hasattr(config, "workerinput"):
        return
    count = {name: len(reports) for name, reports in _outcomes(config).items()}
    failed = count.get("failed", 0) + count.get("error", 0)
    print(f"{count.get('passed', 0)} passed, {failed} failed, {count.get('skipped', 0)} skipped", flush=True)
