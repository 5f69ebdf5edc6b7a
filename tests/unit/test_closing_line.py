"""The last line of a run is read by scripts: it must be exact, and count errors as failures."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tree import ROOT

OUTCOMES = {
    "passed": "def test_{}(): pass",
    "failed": "def test_{}(): assert False",
    "skipped": "import pytest\ndef test_{}(): pytest.skip('no such machine')",
    "error": "import pytest\n@pytest.fixture\ndef broken(): raise OSError\ndef test_{}(broken): pass",
    "broken file": "import nothing_of_this_name",
}


@pytest.mark.parametrize(
    ("outcomes", "closing"),
    [
        (["passed"], "1 passed, 0 failed, 0 skipped"),
        (["passed", "passed", "failed", "skipped"], "2 passed, 1 failed, 1 skipped"),
        (["passed", "error"], "1 passed, 1 failed, 0 skipped"),
        (["passed", "broken file"], "0 passed, 1 failed, 0 skipped"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_closing_line(tmp_path, outcomes, closing):
    for number, outcome in enumerate(outcomes):
        (tmp_path / f"test_{number}.py").write_text(OUTCOMES[outcome].format(number), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == closing, done.stdout[-2000:] + done.stderr[-2000:]
    assert (done.returncode == 0) == ("failed" not in outcomes and "error" not in outcomes and "broken file" not in outcomes)
    if "skipped" in outcomes:
        assert "no such machine" in done.stdout
