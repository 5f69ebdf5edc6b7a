"""playbooks/files/compare_databases.py by a driver of this test's own. tests/rehearse/test_restore.py has real databases."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace

import pytest

from tests.tree import ROOT

LOGIN = {"port": 5432, "name": "d", "username": "u", "password": "k2n8v5"}


class Driver(ModuleType):
    """psycopg, as far as it is used: `hosts` holds the rows of each table of each host."""

    Error = RuntimeError

    def __init__(self, hosts: dict[str, dict[str, int]]) -> None:
        super().__init__("psycopg")
        self.hosts = hosts
        self.asked: list[str] = []
        self.sql = SimpleNamespace(
            SQL=lambda text: SimpleNamespace(format=lambda name: text.format(name)), Identifier=lambda *names: ".".join(names)
        )

    def connect(self, host: str, **options: object):
        self.asked.append(host)
        assert "default_transaction_read_only=on" in str(options["options"])
        return SimpleNamespace(cursor=lambda: Cursor(self.hosts[host]))


class Cursor:
    def __init__(self, tables: dict[str, int]) -> None:
        self.tables, self.found = tables, []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        name = statement.split()[-1]
        if "pg_stat_user_tables" in statement:
            self.found = [(*table.split("."), rows) for table, rows in self.tables.items()]
        elif name == "django_migrations":
            self.found = [(self.tables["public.django_migrations"], datetime(2026, 3, 1, tzinfo=UTC))]
        else:
            self.found = [(self.tables[name],)]

    def fetchall(self) -> list[tuple]:
        return self.found


@pytest.fixture
def load(monkeypatch, tmp_path):
    """The script with this driver, run by the interpreter of a release with these lines in its environment."""

    def load(driver: object, *lines: str) -> ModuleType:
        (tmp_path / "environment").write_text("\n".join(lines))
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        monkeypatch.setitem(sys.modules, "psycopg", driver)
        spec = spec_from_file_location("compare_databases", ROOT / "playbooks" / "files" / "compare_databases.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def ask(load, monkeypatch, capsys):
    """Ask about these hosts; returns the answer and which hosts were asked."""

    def ask(hosts: dict[str, dict[str, int]], **question: object) -> tuple[dict, list[str]]:
        driver = Driver(hosts)
        module = load(driver, 'ESPALIER_DATABASE_SSLMODE="require"')
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**LOGIN, **question})))
        module.main()
        return json.loads(capsys.readouterr().out), driver.asked

    return ask


def test_the_living_one_is_compared_as_it_is(ask):
    hosts = {"live": {"public.a": 12, "public.django_migrations": 3}, "side": {"public.a": 10, "public.django_migrations": 3}}
    answer, asked = ask(hosts, live="live", side="side")
    assert sorted(asked) == ["live", "side"]
    assert (answer["missing"], answer["problems"]) == (2, [])
    assert answer["tables"]["public.a"] == {"live": 12, "copy": 10}


def test_what_was_counted_before_is_compared_and_nothing_that_came_later(ask):
    hosts = {"live": {"public.a": 12, "public.django_migrations": 3}, "side": {"public.a": 10, "public.django_migrations": 3}}
    counted, asked = ask(hosts, live="live", side="")
    assert asked == ["live"] and counted["tables"] == hosts["live"]
    hosts["live"]["public.a"] = 500
    answer, asked = ask(hosts, live="live", side="side", counted=counted)
    assert asked == ["side"]
    assert (answer["missing"], answer["problems"]) == (2, [])


def test_of_a_lost_one_the_copy_is_told(ask):
    answer, _ = ask({"side": {"public.a": 10, "public.django_migrations": 3}}, live="", side="side")
    assert (answer["missing"], answer["problems"]) == (0, [])
    assert answer["tables"]["public.a"] == {"live": None, "copy": 10}


def test_a_copy_that_lacks_a_table_and_a_migration(ask):
    hosts = {"live": {"public.a": 12, "public.django_migrations": 3}, "side": {"public.django_migrations": 2}}
    answer, _ = ask(hosts, live="live", side="side", counted={})
    assert answer["missing"] == 13
    assert answer["problems"] == [
        "the copy has no table public.a",
        "the copy has other migrations than the living database: deploy after the switch",
    ]


@pytest.fixture
def connected(load):
    """What the driver is asked for."""

    def connected(*lines: str) -> dict:
        asked: dict = {}
        driver = SimpleNamespace(connect=lambda **options: asked.update(options), Error=OSError, sql=None)
        load(driver, "# No secrets", 'GREETING="say \\"#1\\" and \\$HOME"', *lines).Database("copy.example.com", LOGIN)
        return asked

    return connected


def test_the_certificate_is_checked_as_the_release_does(connected):
    asked = connected('ESPALIER_DATABASE_SSLMODE="verify-full"', 'PGSSLROOTCERT="/srv/django-app/database-ca.pem"')
    assert (asked["host"], asked["sslmode"], asked["sslrootcert"]) == ("copy.example.com", "verify-full", "/srv/django-app/database-ca.pem")


def test_or_not_where_the_release_does_not(connected):
    asked = connected('ESPALIER_DATABASE_SSLMODE="require"')
    assert asked["sslmode"] == "require" and "sslrootcert" not in asked
