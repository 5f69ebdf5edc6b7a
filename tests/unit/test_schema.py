"""roles/django's espalier_schema.py: which migrations break the release that serves, and what going back means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.tree import ROOT

RUNTIME = ROOT / "roles" / "django" / "files" / "runtime"
INITIAL = """
    migrations.CreateModel("Entry", [
        ("id", models.BigAutoField(primary_key=True)),
        ("text", models.TextField()),
        ("note", models.TextField(null=True)),
    ]),
"""
DATABASE = "{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}"


def migration(operations: str, *before: str) -> str:
    dependencies = "".join(f"('shop', '{name}')," for name in before)
    return f"""
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [{dependencies}]
    operations = [{textwrap.dedent(operations)}]
"""


@pytest.fixture
def project(tmp_path):
    """A project whose first migration is applied. `add` gives it another one; `run` is `manage espalier`."""
    folder = tmp_path / "shop" / "migrations"
    folder.mkdir(parents=True)
    for path in (tmp_path / "shop" / "__init__.py", folder / "__init__.py"):
        path.touch()
    (tmp_path / "shop" / "models.py").write_text("")
    (tmp_path / "settings.py").write_text(f"SECRET_KEY = 'unit'\nINSTALLED_APPS = ['shop']\nDATABASES = {DATABASE}\nUSE_TZ = True\n")

    class Project:
        names: list[str] = []  # noqa: RUF012

        def add(self, operations: str) -> str:
            name = f"{len(self.names) + 1:04d}_step"
            (folder / f"{name}.py").write_text(migration(operations, *self.names[-1:]))
            self.names = [*self.names, name]
            return name

        def run(self, *arguments: str, stdin: object = None, **variables: str) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{tmp_path}:{RUNTIME}", **variables}
            command = [sys.executable, "-m", "espalier_schema", *arguments]
            given = json.dumps(stdin) if stdin is not None else None
            return subprocess.run(command, cwd=tmp_path, env=environment, input=given, capture_output=True, text=True, check=False)

        def compare(self, *leaves: str) -> dict:
            done = self.run("compare", stdin={"shop": list(leaves), "auth": ["0012_whatever"]})
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.splitlines()[-1])

    made = Project()
    made.add(INITIAL)
    assert made.run("migrate").returncode == 0
    return made


BREAKING = {
    "drops its column": "migrations.RemoveField('Entry', 'note')",
    "renames its column": "migrations.RenameField('Entry', 'note', 'remark')",
    "drops its table": "migrations.DeleteModel('Entry')",
    "renames its table": "migrations.RenameModel('Entry', 'Item')",
    "renames its table to items": "migrations.AlterModelTable('Entry', 'items')",
    "NOT NULL without a default": "migrations.AddField('Entry', 'rank', models.IntegerField(default=1))",
    "becomes NOT NULL": "migrations.AlterField('Entry', 'note', models.TextField(default=''))",
    "from note to remark": "migrations.AlterField('Entry', 'note', models.TextField(null=True, db_column='remark'))",
    "separately: drops": "migrations.SeparateDatabaseAndState(database_operations=[migrations.RemoveField('Entry', 'note')])",
}
HARMLESS = {
    "new table": "migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True)), ('name', models.TextField())])",
    "new nullable column": "migrations.AddField('Entry', 'rank', models.IntegerField(null=True))",
    "database default": "migrations.AddField('Entry', 'rank', models.IntegerField(db_default=1))",
    "of a table of its own": """
        migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True))]),
        migrations.AddField('Tag', 'name', models.TextField(default='')),
        migrations.RemoveField('Tag', 'name'),
    """,
    "state only": "migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField('Entry', 'note')])",
    "nullable again": "migrations.AlterField('Entry', 'text', models.TextField(null=True))",
    "code": "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_the_release_that_serves_is_named_and_refused(project, name):
    added = project.add(BREAKING[name])
    refused = project.run("migrate")
    assert refused.returncode == 3 and f"shop.{added}" in refused.stderr and name.partition(": ")[2] in refused.stderr, refused.stderr
    assert name.split(": ")[-1] in refused.stderr and "app_allow_breaking_migrations" in refused.stderr
    assert project.compare(added)["verdict"] == "same", "it was migrated all the same"
    assert project.run("migrate", "--allow-breaking").returncode == 0
    assert "No planned migration operations" in project.run("plan").stdout


@pytest.mark.parametrize("name", HARMLESS)
def test_what_breaks_nobody_runs(project, name):
    added = project.add(HARMLESS[name])
    assert f"shop.{added}" in project.run("plan").stdout
    done = project.run("migrate")
    assert done.returncode == 0, done.stderr
    assert project.compare("0001_step")["verdict"] == "compatible"


def test_an_empty_database_serves_nobody(project, tmp_path):
    project.add(BREAKING["drops its column"])
    (tmp_path / "db.sqlite3").unlink()
    assert project.run("migrate").returncode == 0


def test_a_second_run_finds_nothing(project):
    assert "No migrations to apply" in project.run("migrate").stdout


def test_going_back_over_a_dropped_column_can_be_reversed(project):
    project.add(BREAKING["drops its column"])
    project.run("migrate", "--allow-breaking")
    found = project.compare("0001_step")
    assert found["verdict"] == "reversible" and found["commands"] == ["migrate shop 0001_step"]


def test_going_back_over_what_cannot_be_reversed_is_blocked(project):
    project.add(BREAKING["drops its column"])
    project.add("migrations.RunPython(migrations.RunPython.noop)")
    project.run("migrate", "--allow-breaking")
    found = project.compare("0001_step")
    assert found["verdict"] == "blocked" and any("RunPython" in reason for reason in found["reasons"])


def test_a_release_that_brings_more_is_newer(project):
    found = project.compare("0007_unheard_of")
    assert found["verdict"] == "newer" and found["reasons"] == ["it brings shop.0007_unheard_of"]


def test_a_failing_migration_fails(project):
    project.add("migrations.RunSQL('SELECT * FROM nowhere')")
    assert project.run("migrate").returncode == 1


def test_a_password_is_told_as_postgresql_keeps_it(monkeypatch):
    """The server's own check of a login, RFC 5802: what it keeps proves a client that knows the password, and no other."""
    monkeypatch.syspath_prepend(str(RUNTIME))
    verifier = importlib.import_module("espalier_schema").scram_verifier("pencil")
    kind, rounds_and_salt, keys = verifier.split("$")
    rounds, salt = rounds_and_salt.split(":")
    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    assert (kind, rounds) == ("SCRAM-SHA-256", "4096") and "pencil" not in verifier

    def proves(password: str) -> bool:
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
        client = hmac.digest(salted, b"Client Key", "sha256")
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, b"message", "sha256"), strict=True))
        recovered = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored, b"message", "sha256"), strict=True))
        return hashlib.sha256(recovered).digest() == stored and hmac.digest(salted, b"Server Key", "sha256") == server

    assert proves("pencil") and not proves("pen")


def test_statistics_are_of_postgresql_only(project):
    refused = project.run("monitor", MONITORING_USERNAME="monitoring", MONITORING_PASSWORD="x")
    assert refused.returncode == 3 and "PostgreSQL only" in refused.stderr
