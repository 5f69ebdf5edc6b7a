"""playbooks/files/compare_databases.py: with TLS as the release has it. tests/rehearse/test_restore.py has real databases."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from tests.tree import ROOT

QUESTION = {"port": 5432, "name": "postgresDB", "username": "postgres", "password": "not a real one"}


@pytest.fixture
def connected(monkeypatch, tmp_path):
    """What a driver is asked for, by a release with these lines in its environment."""

    def run(*lines: str) -> dict:
        (tmp_path / "environment").write_text("\n".join(["# No secrets", 'GREETING="say \\"#1\\" and \\$HOME"', *lines]))
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        asked: dict = {}
        driver = SimpleNamespace(connect=lambda **options: asked.update(options), Error=OSError, sql=None)
        monkeypatch.setitem(sys.modules, "psycopg", driver)
        spec = importlib.util.spec_from_file_location("compare_databases", ROOT / "playbooks" / "files" / "compare_databases.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.Database("copy.example.com", QUESTION)
        return asked

    return run


def test_the_certificate_is_checked_as_the_release_does(connected):
    asked = connected('ESPALIER_DATABASE_SSLMODE="verify-full"', 'PGSSLROOTCERT="/srv/django-app/database-ca.pem"')
    assert (asked["host"], asked["sslmode"], asked["sslrootcert"]) == ("copy.example.com", "verify-full", "/srv/django-app/database-ca.pem")


def test_or_not_where_the_release_does_not(connected):
    asked = connected('ESPALIER_DATABASE_SSLMODE="require"')
    assert asked["sslmode"] == "require" and "sslrootcert" not in asked
