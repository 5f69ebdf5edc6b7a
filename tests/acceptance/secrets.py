"""The database password and SECRET_KEY: where they are, and that they are nowhere else."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from tests.acceptance.app import instance_ids, output
from tests.acceptance.system import System

# Reads the patterns from standard input, since an argument would be a leak of its own kind, and forgets them.
SEARCH = r"""
umask 077
patterns=$(mktemp /dev/shm/search.XXXXXX)
trap 'rm -f "$patterns"' EXIT
cat > "$patterns"
for folder in /*; do
  case $folder in
    /proc|/sys|/dev) ;;
    *) grep -rlF -D skip -f "$patterns" "$folder" 2>/dev/null ;;
  esac
done
grep -lF -D skip -f "$patterns" /proc/[0-9]*/cmdline 2>/dev/null
exit 0
"""


def secret_values(system: System) -> dict[str, str]:
    """The values that nobody may find."""
    return {**values_on_instances(system), "master's password": json.loads(system.secret("django-db-credentials"))["password"]}


def values_on_instances(system: System) -> dict[str, str]:
    """Those that an instance needs."""
    return {
        "database password": json.loads(system.secret("django-app-db-credentials"))["password"],
        "SECRET_KEY": system.secret("django-secret-key"),
    }


def spellings(values: dict[str, str]) -> list[str]:
    """Each value as it is, and as JSON, an address and base64 would write it."""
    found = []
    for value in values.values():
        encoded = base64.b64encode(value.encode()).decode().rstrip("=")
        found += [value, json.dumps(value)[1:-1], quote(value, safe=""), encoded]
    return sorted(set(found))


def files_on_instance(system: System, instance: str, patterns: list[str]) -> list[str]:
    """Files of the instance, and command lines of its processes, that hold one of the patterns."""
    done = system.run_on(instance, "sh", "-c", SEARCH, stdin="\n".join(patterns) + "\n", seconds=240)
    assert done.returncode == 0, done.stderr[-1000:]
    return sorted(done.stdout.splitlines())


def check_secrets_stay_in_their_file(system: System) -> None:
    """One file of an instance holds them, and only its owner reads it."""
    patterns = spellings(values_on_instances(system))
    for instance in instance_ids(system):
        found = files_on_instance(system, instance, patterns)
        assert len(found) == 1, f"{instance}: found in {found}, expected exactly the environment file"
        assert output(system, instance, "stat", "-c", "%a", found[0]).strip() == "600", found[0]


def check_the_master_s_password_is_on_no_instance(system: System) -> None:
    patterns = spellings({"master's password": json.loads(system.secret("django-db-credentials"))["password"]})
    for instance in instance_ids(system):
        found = files_on_instance(system, instance, patterns)
        assert not found, f"{instance}: found in {found}"


def check_the_application_is_not_the_master(system: System) -> None:
    """Its connections are those of the secret's user, who owns nothing by itself."""
    statement = (
        "from django.db import connection as c; k = c.cursor(); k.execute('SELECT session_user, current_user'); print(*k.fetchone())"
    )
    wanted = json.loads(system.secret("django-app-db-credentials"))["username"]
    for instance in instance_ids(system):
        shown = output(system, instance, "/srv/django-app/current/manage", "shell", "-c", statement)
        assert shown.split()[-2:] == [wanted, "django_owner"], f"{instance}: {shown}"
        running = output(system, instance, "python3", "/usr/local/lib/espalier/espalier_database.py", "user")
        assert running.strip() == wanted, f"{instance}: Gunicorn works as {running}"


def check_unit_shows_no_secret(system: System) -> None:
    """`systemctl show` and the journal are open to more people than the environment file."""
    patterns = spellings(secret_values(system))
    for instance in instance_ids(system):
        shown = output(system, instance, "systemctl", "show", "gunicorn") + output(system, instance, "systemctl", "cat", "gunicorn")
        shown += output(system, instance, "journalctl", "--no-pager", "-q", "-n", "5000")
        assert not any(pattern in shown for pattern in patterns), f"{instance}: a secret in the unit or the journal"
