"""roles/django's reader of addresses and secrets, with an AWS that answers from dictionaries."""

from __future__ import annotations

import importlib.util
import json
import stat

import pytest

from tests.tree import ROOT

PASSWORD = 'p"a$s`s\\w/o@r:d #'


@pytest.fixture
def reader(monkeypatch, tmp_path):
    path = ROOT / "roles" / "django" / "files" / "espalier_environment.py"
    spec = importlib.util.spec_from_file_location("espalier_environment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Aws(module.Aws):
        parameters = {"/DjangoApp/rds_endpoint": "db.example:5433"}  # noqa: RUF012
        secrets = {  # noqa: RUF012
            "django-db-credentials": json.dumps({"username": "postgres", "password": PASSWORD}),
            "django-secret-key": "the-key",
            "shop": json.dumps({"stripe": "sk-1"}),
        }

        def __init__(self):
            pass

        def parameter(self, name):
            return self._get(self.parameters, f"parameter {name}", name)

        def secret(self, name):
            return self._get(self.secrets, f"secret {name}", name)

        def _get(self, values, what, name):
            if name not in values:
                raise module.NotReady(f"cannot read {what}: not there")
            return values[name]

    monkeypatch.setattr(module, "Aws", Aws)
    monkeypatch.setattr(module, "metadata", lambda path: {"local-ipv4": "10.0.10.5"}.get(path))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(module.sys, "argv", ["reader", str(tmp_path / "environment")])
    for name, value in {
        "ESPALIER_DATABASE_PARAMETER": "/DjangoApp/rds_endpoint",
        "ESPALIER_DATABASE_SECRET": "django-db-credentials",
        "ESPALIER_DATABASE_NAME": "postgresDB",
        "ESPALIER_SECRET_KEY_SECRET": "django-secret-key",
        "ESPALIER_SECRET_KEY_FILE": str(tmp_path / "secret-key"),
        "ESPALIER_SECRETS": '{"STRIPE_KEY": "shop#stripe"}',
        "ESPALIER_TIMEOUT_SECONDS": "0",
        "DJANGO_ALLOWED_HOSTS": "lb.example",
    }.items():
        monkeypatch.setenv(name, value)
    return module


def written(tmp_path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())


def test_variables_of_the_file(reader, tmp_path):
    reader.main()
    found = written(tmp_path)
    assert found["RDS_HOSTNAME"] == '"db.example"' and found["RDS_PORT"] == '"5433"' and found["RDS_DB_NAME"] == '"postgresDB"'
    assert found["DJANGO_SECRET_KEY"] == found["SECRET_KEY"] == '"the-key"'
    assert found["STRIPE_KEY"] == '"sk-1"'
    assert found["DJANGO_ALLOWED_HOSTS"] == '"lb.example,10.0.10.5"'
    assert found["DATABASE_URL"] == '"postgresql://postgres:p%22a%24s%60s%5Cw%2Fo%40r%3Ad%20%23@db.example:5433/postgresDB?sslmode=require"'


def test_values_are_quoted_as_systemd_and_a_shell_read_them(reader, tmp_path):
    reader.main()
    assert written(tmp_path)["RDS_PASSWORD"] == r'"p\"a\$s\`s\\w/o@r:d #"'


def test_only_root_reads_the_file_and_no_value_is_printed(reader, tmp_path, capsys):
    (tmp_path / "environment").write_text("old")
    (tmp_path / "environment").chmod(0o644)
    reader.main()
    assert stat.S_IMODE((tmp_path / "environment").stat().st_mode) == 0o600
    printed = "".join(capsys.readouterr())
    assert "RDS_PASSWORD" in printed
    assert not [value for value in (PASSWORD, "the-key", "sk-1") if value in printed]


def test_what_is_missing_is_named_and_the_old_file_stays(reader, tmp_path, monkeypatch):
    (tmp_path / "environment").write_text("old")
    monkeypatch.setenv("ESPALIER_DATABASE_PARAMETER", "/Other")
    with pytest.raises(SystemExit, match="parameter /Other"):
        reader.main()
    assert (tmp_path / "environment").read_text() == "old"


@pytest.mark.parametrize("secret", ["not json at all", '"a string"', '{"username": "postgres"}'])
def test_malformed_credentials_are_not_shown(reader, secret, capsys):
    reader.Aws.secrets["django-db-credentials"] = secret
    with pytest.raises(SystemExit) as error:
        reader.main()
    shown = str(error.value) + "".join(capsys.readouterr())
    assert "django-db-credentials" in shown and "not json at all" not in shown and "a string" not in shown


def test_without_aws_a_machine_keeps_its_own_key(reader, tmp_path, monkeypatch):
    for name in ("ESPALIER_DATABASE_PARAMETER", "ESPALIER_SECRET_KEY_SECRET", "ESPALIER_SECRETS"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(reader, "Aws", None)
    reader.main()
    first = written(tmp_path)
    reader.main()
    assert written(tmp_path) == first and len(first["SECRET_KEY"]) >= 50 and "RDS_HOSTNAME" not in first
