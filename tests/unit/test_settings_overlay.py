"""roles/django's settings overlay on projects whose settings were written for a laptop, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.tree import ROOT

RUNTIME = ROOT / "roles" / "django" / "files" / "runtime"
LAPTOP = """
    from pathlib import Path
    BASE_DIR = Path(__file__).resolve().parent.parent
    SECRET_KEY = "insecure"
    DEBUG = True
    ALLOWED_HOSTS = ["*", "shop.example"]
    CSRF_TRUSTED_ORIGINS = ["https://shop.example"]
    STATIC_URL = "static/"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3", "ATOMIC_REQUESTS": True}}
    not_a_setting = 1
"""
RDS = {
    "RDS_DB_NAME": "postgresDB",
    "RDS_USERNAME": "postgres",
    "RDS_PASSWORD": "p",
    "RDS_HOSTNAME": "db.example",
    "RDS_PORT": "5432",
    "RDS_SSLMODE": "require",
}
PRINT = """
    import json, sys
    sys.prefix = sys.argv[1] + "/venv"
    import espalier_settings as found
    print(json.dumps({name: getattr(found, name) for name in dir(found) if name.isupper()}, default=lambda value: "Path " + str(value)))
"""


@pytest.fixture
def load(tmp_path):
    """The settings that a project ends up with, as JSON; a Path reads "Path ...". Its release is below release/."""
    release, data = tmp_path / "release", tmp_path / "data"

    def python(arguments: list[str], extra: str, environment: dict) -> subprocess.CompletedProcess[str]:
        package = release / "source" / "shop"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "settings.py").write_text(textwrap.dedent(LAPTOP) + textwrap.dedent(extra))
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{release}/source:{RUNTIME}",
            "ESPALIER_SETTINGS_MODULE": "shop.settings",
            "DJANGO_DATA_DIR": str(data),
            "DJANGO_SECRET_KEY": "from-aws",
            "DJANGO_ALLOWED_HOSTS": "lb.example,10.0.10.5",
            "DJANGO_CSRF_TRUSTED_ORIGINS": "http://lb.example",
            "DJANGO_STATIC_URL": "/static/",
            **environment,
        }
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)

    def run(extra: str = "", **environment) -> dict:
        result = python(["-c", textwrap.dedent(PRINT), str(release)], extra, environment)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def check(extra: str, **environment) -> str:
        """What Django says before a deployment."""
        result = python(["-m", "django", "check", "--deploy", "--settings", "espalier_settings"], extra, environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    run.release, run.data, run.check = release, data, check
    return run


def test_what_only_the_machine_knows(load):
    found = load()
    assert (found["DEBUG"], found["SECRET_KEY"]) == (False, "from-aws")
    assert found["ALLOWED_HOSTS"] == ["shop.example", "lb.example", "10.0.10.5"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://shop.example", "http://lb.example"]
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    assert (found["STATIC_URL"], found["STATIC_ROOT"]) == ("/static/", f"{load.release}/static")
    assert "SESSION_COOKIE_SECURE" not in found


def test_https_marks_cookies_and_is_insisted_on(load):
    found = load(DJANGO_HTTPS="true")
    assert found["SESSION_COOKIE_SECURE"] and found["CSRF_COOKIE_SECURE"]
    assert found["SECURE_HSTS_SECONDS"] == 2592000
    assert "SECURE_HSTS_SECONDS" not in load(DJANGO_HTTPS="false")


def test_how_long_https_is_insisted_on_is_the_owner_s(load):
    assert load("SECURE_HSTS_SECONDS = 0", DJANGO_HTTPS="true")["SECURE_HSTS_SECONDS"] == 0
    assert load(DJANGO_HTTPS="true", ESPALIER_SETTINGS='{"SECURE_HSTS_SECONDS": 60}')["SECURE_HSTS_SECONDS"] == 60


STARTPROJECT = """
    INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware", "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
    ROOT_URLCONF = "shop.settings"
    urlpatterns = []
"""


def test_django_s_deployment_checks(load):
    """Of a project as startproject makes it: what is left is the load balancer's (W008) or the owner's (W005, W021)."""
    secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
    done = load.check(STARTPROJECT, DJANGO_HTTPS="true", DJANGO_SECRET_KEY=secret)
    assert sorted(set(re.findall(r"security\.W\d+", done))) == ["security.W005", "security.W008", "security.W021"], done


def test_a_projects_own_proxy_header_stays(load):
    assert load("SECURE_PROXY_SSL_HEADER = ('HTTP_X_SCHEME', 'https')")["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_SCHEME", "https"]


def test_database_comes_from_the_environment(load):
    found = load(**RDS)["DATABASES"]["default"]
    assert (found["ENGINE"], found["HOST"], found["NAME"]) == ("django.db.backends.postgresql", "db.example", "postgresDB")
    assert found["OPTIONS"]["sslmode"] == "require" and found["ATOMIC_REQUESTS"]


def test_a_project_that_reads_rds_itself_keeps_its_options(load):
    own = "DATABASES = {'default': {'ENGINE': 'django_prometheus.db.backends.postgresql', 'HOST': 'db.example'}}"
    assert load(own, **RDS)["DATABASES"]["default"]["ENGINE"].startswith("django_prometheus")


def test_other_databases_are_left_alone(load):
    found = load("DATABASES['legacy'] = {'ENGINE': 'django.db.backends.mysql', 'HOST': 'old.example'}", **RDS)["DATABASES"]
    assert found["legacy"] == {"ENGINE": "django.db.backends.mysql", "HOST": "old.example"}


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("", "Path {data}/db.sqlite3"),
        ("DATABASES['default']['NAME'] = 'shop.db'", "{data}/shop.db"),
        ("DATABASES['default']['NAME'] = '/mnt/volume/shop.db'", "/mnt/volume/shop.db"),
    ],
)
def test_sqlite_moves_out_of_the_read_only_release(load, own, name):
    assert load(own)["DATABASES"]["default"]["NAME"] == name.format(data=load.data)


@pytest.mark.parametrize(
    ("own", "media"),
    [
        ("", "{data}/media"),
        ("MEDIA_ROOT = BASE_DIR / 'uploads'", "Path {data}/media"),
        ("MEDIA_ROOT = str(BASE_DIR / 'uploads')", "{data}/media"),
        ("MEDIA_ROOT = '/mnt/media'", "/mnt/media"),
    ],
)
def test_uploads_move_too_and_keep_their_type(load, own, media):
    assert load(own)["MEDIA_ROOT"] == media.format(data=load.data)


def test_app_settings_win(load):
    found = load(ESPALIER_SETTINGS=json.dumps({"TIME_ZONE": "Europe/Berlin", "ALLOWED_HOSTS": ["only.example"]}))
    assert (found["TIME_ZONE"], found["ALLOWED_HOSTS"]) == ("Europe/Berlin", ["only.example"])


def test_overlay_is_a_file_of_its_own():
    """It must not import anything of the suite: it runs where only the project's packages are."""
    lines = (Path(RUNTIME) / "espalier_settings.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names) | {"django"}


def test_errors_are_logged_unless_the_project_says_how(load):
    assert load()["LOGGING"]["root"] == {"handlers": ["stderr"], "level": "INFO"}
    own = {"version": 1, "root": {"level": "ERROR"}}
    assert load(f"LOGGING = {own}")["LOGGING"] == own


MEDIA = {"DJANGO_MEDIA_BUCKET": "shop-files", "DJANGO_MEDIA_PREFIX": "media"}
DISK = "django.core.files.storage.FileSystemStorage"


@pytest.fixture
def with_storages(load):
    """A project that brings django-storages, as far as settings can see. Its own scenario runs it."""
    source = load.release / "source"
    for name in ("storages", "boto3"):
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").touch()
    return load


def test_uploads_go_to_s3(with_storages):
    found = with_storages(**MEDIA)["STORAGES"]
    assert found["default"] == {"BACKEND": "espalier_storage.MediaStorage"} and "staticfiles" in found
    own = {"default": {"BACKEND": DISK}, "staticfiles": {"BACKEND": "shop.Static"}, "more": {"BACKEND": "shop.More"}}
    found = with_storages(f"STORAGES = {own}", **MEDIA)["STORAGES"]
    assert found == own | {"default": {"BACKEND": "espalier_storage.MediaStorage"}}


def test_uploads_stay_where_the_project_wants_them(with_storages):
    own = {"default": {"BACKEND": "shop.Storage"}, "staticfiles": {"BACKEND": "shop.Static"}}
    assert with_storages(f"STORAGES = {own}", **MEDIA)["STORAGES"] == own
    assert "STORAGES" not in with_storages()


def test_uploads_stay_on_the_disk_of_a_project_without_storages(load):
    assert "STORAGES" not in load(**MEDIA)
