"""Releases that were fetched from S3: asked over HTTP, one beside the other; files and rights as the application's user finds them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.molecule.fixtures import account_of, apply


@dataclass
class Expected:
    name: str
    user: str
    home: str
    data: str
    health: str
    ready: str
    static: str


EXPECTED = {
    "defaults": Expected("django-app", "django-app", "/srv/django-app", "/var/lib/django-app", "/health", "/ready", "/static/"),
    "altered": Expected("shop", "web", "/srv/shops/one", "/var/lib/shops/one", "/alive", "/able", "/assets/"),
}


@pytest.fixture
def expected(machine) -> Expected:
    return EXPECTED[machine.variables]


@pytest.fixture
def release(machine, expected) -> str:
    """The folder of the current release."""
    return machine.output("readlink", "--canonicalize", f"{expected.home}/current")


LINKS = ("current", "next", "previous")
# As a load balancer passes them on.
VISITOR = {"Host": "www.example.com", "X_Forwarded_Proto": "https"}


def links(machine, expected) -> dict[str, str]:
    """Versions that the links name; empty where one leads nowhere."""
    found = {name: machine.run("readlink", "--canonicalize-existing", f"{expected.home}/{name}").stdout for name in LINKS}
    return {name: path.rpartition("/")[2].rpartition("-")[0] for name, path in found.items()}


def served(machine) -> str:
    """The version that the page tells, under the machine's own address."""
    page = machine.get("/", X_Forwarded_Proto="https").body
    return page.partition('<dd id="release">')[2].partition("<")[0]


def setting(machine, release: str, expression: str) -> str:
    return machine.output(
        f"{release}/manage", "shell", "--verbosity", "0", "--command", f"from django.conf import settings; print({expression})"
    )


def test_visitors_of_its_names_are_served(machine, expected):
    page = machine.get("/", **VISITOR)
    if machine.variables == "defaults":
        assert page.status == 400, "no name was given, and one is served"
        return
    assert page.status == 200, page.body[:500]
    assert f'href="{expected.static}guestbook/style.' in page.body, "static files have no hashed names under their URL"
    assert "Secure" in page.headers["set-cookie"]
    assert machine.get("/", Host="scanner.example.net", X_Forwarded_Proto="https").status == 400


def test_it_is_served_under_its_own_address(machine):
    """Which instance metadata tells."""
    assert served(machine) == "1.0"


def test_requests_are_counted(machine):
    path = "/numbers" if machine.variables == "altered" else "/metrics"
    machine.get("/", **VISITOR)
    assert 'django_http_requests_total{method="GET"' in machine.get(path).body


def test_checks_are_answered_whatever_they_call_the_machine(machine, expected):
    assert machine.get(expected.health, Host="whatever").status == 200
    assert machine.get(expected.ready, Host="whatever").status == 200, "SQLite in the data folder does not answer"


def test_static_files_are_uploaded_beside_older_ones(machine, release):
    """As a deploy does it where CloudFront serves them, with the machine's own rights."""
    s3, bucket, prefix = account_of("store").client("s3"), "store-django-static-123456789012", f"static-{machine.name}"
    s3.put_object(Bucket=bucket, Key=f"{prefix}/older.css", Body=b"older")
    upload = ("python3", "/usr/local/lib/espalier/espalier_static.py", release, bucket, prefix)
    assert "uploaded already" not in machine.output(*upload)
    assert "uploaded already" in machine.output(*upload)
    found = {entry["Key"].removeprefix(f"{prefix}/") for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]}
    there = machine.output("sh", "-c", f"cd {release}/static && find . -type f -printf '%P\\n'").splitlines()
    assert found == {*there, "older.css"}
    for name in there:
        if name.startswith("guestbook/style"):
            head = s3.head_object(Bucket=bucket, Key=f"{prefix}/{name}")
            assert head["ContentType"] == "text/css; charset=utf-8"
            assert ("immutable" in head["CacheControl"]) == (name.count(".") == 2), f"{name}: {head['CacheControl']}"


UPLOAD = """
from django.core.files.base import ContentFile
from pictures.models import Picture
for text in ("one", "two"):
    picture = Picture()
    picture.file.save("cat.txt", ContentFile(text))
    print(picture.file.name, picture.file.url, picture.file.read().decode())
"""


def test_uploads_are_where_every_machine_has_them(machine, release, expected):
    """Two of the same name are two, through the same rights that an instance has."""
    shown = machine.output(f"{release}/manage", "shell", "--verbosity", "0", "--command", UPLOAD).splitlines()
    (first, first_url, one), (second, _, two) = (line.split() for line in shown)
    assert (one, two) == ("one", "two") and first != second
    if machine.variables == "defaults":
        assert machine.output("cat", f"{expected.data}/media/{second}") == "two"
        return
    assert first_url == f"https://cdn.example.com/uploads/{first}"
    found = account_of("store").client("s3").get_object(Bucket="store-django-static-123456789012", Key=f"uploads/{second}")
    assert found["Body"].read() == b"two"
    assert machine.run("test", "-e", f"{expected.data}/media").returncode == 1, "a copy stays on the machine"


def test_the_first_release_is_the_only_one(machine, release, expected):
    assert release.startswith(f"{expected.home}/releases/1.0-")
    assert links(machine, expected) == {"current": "1.0", "next": "1.0", "previous": ""}


def test_the_application_cannot_change_its_own_code(machine, release, expected):
    assert machine.mode(f"{release}/source/manage.py").startswith("root root")
    for path in ("source", "espalier", "venv", "static", "release.json"):
        assert machine.run("test", "-w", f"{release}/{path}", user=expected.user).returncode == 1, path
    assert machine.run("test", "-w", expected.data, user=expected.user).returncode == 0


def test_nobody_else_reads_environment_and_secrets(machine, release, expected):
    assert machine.mode(f"{release}/environment") == f"root {expected.user} 640", "the environment file is readable for others"
    assert machine.mode(f"/run/{expected.name}/environment").endswith(" 600"), "the file of secrets is readable for others"
    assert machine.mode(f"{expected.home}/secret-key").endswith(" 600"), "SECRET_KEY is readable for others"
    assert machine.mode(expected.data) == f"{expected.user} {expected.user} 750"
    for path in (f"{release}/environment", f"/run/{expected.name}/environment", f"{expected.home}/secret-key"):
        assert machine.run("test", "-r", path, user="nobody").returncode == 1, path


def test_nobody_logs_in_as_the_application(machine, expected):
    assert machine.output("getent", "passwd", expected.user).endswith(":/usr/sbin/nologin")


def test_each_machine_without_aws_has_a_key_of_its_own(machine, release):
    # Its length only: a failed comparison would print it.
    assert int(setting(machine, release, "len(settings.SECRET_KEY)")) >= 50


def test_a_dollar_sign_reaches_the_command(machine, release):
    """systemd would put the value of a variable there, of a secret too."""
    said = "DO $$ $HOME ${SECRET_KEY} $"
    assert setting(machine, release, repr(said)).rstrip("\n") == said


def test_the_database_is_migrated(machine, release):
    assert "[ ]" not in machine.output(f"{release}/manage", "showmigrations", "--plan")


def test_static_files_are_collected(machine, release):
    assert machine.output("sh", "-c", f"ls {release}/static/guestbook/style.*.css")


def test_settings_and_environment(machine, release):
    zone, debug = setting(machine, release, "settings.TIME_ZONE, settings.DEBUG").split()
    assert debug == "False"
    if machine.variables == "altered":
        assert zone == "Europe/Berlin"
        assert setting(machine, release, "__import__('os').environ['GREETING']") == 'say "$100" \\o/'


def test_addresses_are_read_anew_after_a_boot(machine):
    assert machine.unit("django-environment.service") == ("active", "enabled")


def test_later_beside_the_first(machine, expected):
    assert links(machine, expected) == {"current": "1.0", "next": "2.0", "previous": ""}
    assert served(machine) == "1.0"
    assert "[ ] 0002_entry_colour" in machine.output(f"{expected.home}/next/manage", "showmigrations"), "it is migrated before its time"


def test_later_switched(machine, expected):
    assert links(machine, expected) == {"current": "2.0", "next": "2.0", "previous": "1.0"}
    assert served(machine) == "2.0"
    assert "[X] 0002_entry_colour" in machine.output(f"{expected.home}/current/manage", "showmigrations")


def test_later_switched_back_from_what_does_not_serve():
    """On one machine, which then serves what it served before. The same release, with a setting that it cannot serve with."""
    step, broken = {"entries": ["release", "activate"], "version": "2.0"}, {"ROOT_URLCONF": "no_such_package"}
    done, machine = apply("defaults", scenario_step=step, django_settings=broken, django_answer_timeout_seconds=2)
    assert done.returncode != 0
    words = " ".join(done.stdout.split())
    for part in ("answers 503", "put back on 2.0-", "No module named 'no_such_package'"):
        assert part in words, done.stdout
    assert machine.get("/health").status == 200 and served(machine) == "2.0"


def test_gone(machine, expected):
    for path in (expected.home, expected.data, f"/run/{expected.name}", "/etc/systemd/system/django-environment.service"):
        assert machine.run("test", "-e", path).returncode == 1, f"{path} is left"
    assert machine.run("getent", "passwd", expected.user).returncode == 2
