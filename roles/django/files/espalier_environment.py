"""Write the environment of the Django application to a file that only root can read, from AWS, with the instance's own role.

usage: espalier_environment.py FILE

Run by django-environment.service at every start, before Gunicorn. Reads its orders from the environment (all optional):

ESPALIER_DATABASE_PARAMETER   SSM parameter that holds the database's address, "host" or "host:port".
ESPALIER_DATABASE_SECRET      secret with "username" and "password" as JSON.
ESPALIER_DATABASE_NAME, ESPALIER_DATABASE_PORT, ESPALIER_DATABASE_SSLMODE
ESPALIER_SECRET_KEY_SECRET    secret that holds SECRET_KEY ("secret" or "secret#key of its JSON"); without it this machine makes one.
ESPALIER_SECRET_KEY_FILE      where that key is kept.
ESPALIER_SECRETS              JSON: {"VARIABLE": "secret" or "secret#key of its JSON"}.
ESPALIER_TIMEOUT_SECONDS      how long to wait for AWS. Default: 120.
DJANGO_ALLOWED_HOSTS          gets this machine's own address added.

Values are never printed.
"""

import json
import os
import secrets
import sys
import time
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent))

import espalier_aws

RETRY_SECONDS = 5


class NotReady(Exception):
    """Something in AWS is not there yet, or cannot be read; the message says what."""


def metadata(path):
    """One value of the instance's metadata, or None outside EC2."""
    try:
        return espalier_aws.metadata(f"meta-data/{path}", tries=1)
    except espalier_aws.AwsError:
        return None


class Aws:
    """The two services that hold what an instance must know."""

    def __init__(self):
        try:
            # This program waits by itself.
            self._aws = espalier_aws.Aws(tries=2)
        except espalier_aws.AwsError as error:
            raise NotReady(str(error)) from None

    def parameter(self, name):
        return self._ask(f"parameter {name}", lambda: self._aws.parameter(name))

    def secret(self, name):
        return self._ask(f"secret {name}", lambda: self._aws.secret(name))

    def chosen(self, order):
        """The secret that "name" or "name#key" means."""
        name, _, key = order.partition("#")
        return field(self.secret(name), key, name) if key else self.secret(name)

    @staticmethod
    def _ask(what, question):
        try:
            return question()
        except espalier_aws.AwsError as error:
            raise NotReady(f"cannot read {what}: {error}") from None


def field(value, key, name):
    """One key of a secret that is JSON."""
    try:
        return str(json.loads(value)[key])
    except (ValueError, KeyError, TypeError):
        # The cause would show the secret.
        raise NotReady(f"secret {name} is no JSON object with the key {key}") from None


def database(aws):
    """The RDS_* variables, and the same as a URL, which is what many projects read."""
    parameter, secret = os.environ["ESPALIER_DATABASE_PARAMETER"], os.environ["ESPALIER_DATABASE_SECRET"]
    host, _, port = aws.parameter(parameter).partition(":")
    value = aws.secret(secret)
    user, password = field(value, "username", secret), field(value, "password", secret)
    port = port or os.environ.get("ESPALIER_DATABASE_PORT", "5432")
    name = os.environ["ESPALIER_DATABASE_NAME"]
    sslmode = os.environ.get("ESPALIER_DATABASE_SSLMODE", "require")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return {
        "RDS_DB_NAME": name,
        "RDS_USERNAME": user,
        "RDS_PASSWORD": password,
        "RDS_HOSTNAME": host,
        "RDS_PORT": port,
        "RDS_SSLMODE": sslmode,
        "DATABASE_URL": f"postgresql://{login}@{host}:{port}/{quote(name, safe='')}?sslmode={sslmode}",
    }


def local_secret_key(path):
    """A key of this machine's own, made once."""
    if not path.exists():
        print(f"no secret holds SECRET_KEY: making one in {path}; machines behind one load balancer need a shared one", flush=True)
        write(path, secrets.token_urlsafe(50))
    return path.read_text().strip()


def write(path, text):
    """Replace the file in one step; at no moment can anybody else read it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def collect():
    """All variables that the application gets from this machine and from AWS."""
    variables = {}
    orders = json.loads(os.environ.get("ESPALIER_SECRETS") or "{}")
    key_secret = os.environ.get("ESPALIER_SECRET_KEY_SECRET")
    wants_database = bool(os.environ.get("ESPALIER_DATABASE_PARAMETER"))
    aws = Aws() if orders or key_secret or wants_database else None
    if wants_database:
        variables.update(database(aws))
    variables["DJANGO_SECRET_KEY"] = (
        aws.secret(key_secret) if key_secret else local_secret_key(Path(os.environ["ESPALIER_SECRET_KEY_FILE"]))
    )
    variables["SECRET_KEY"] = variables["DJANGO_SECRET_KEY"]
    variables.update({variable: aws.chosen(order) for variable, order in orders.items()})
    hosts = [*os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(","), metadata("local-ipv4")]
    variables["DJANGO_ALLOWED_HOSTS"] = ",".join(host for host in hosts if host)
    return variables


def quoted(value):
    """As systemd's EnvironmentFile reads it."""
    for character in '\\"$`':
        value = value.replace(character, f"\\{character}")
    return f'"{value}"'


def main():
    target = Path(sys.argv[1])
    timeout = float(os.environ.get("ESPALIER_TIMEOUT_SECONDS", "120"))
    deadline = time.monotonic() + timeout
    while True:
        try:
            variables = collect()
            break
        except NotReady as error:
            if time.monotonic() > deadline:
                sys.exit(f"gave up after {timeout:.0f} s: {error}")
            print(f"{error}; trying again in {RETRY_SECONDS} s", flush=True)
            time.sleep(RETRY_SECONDS)
    write(target, "".join(f"{name}={quoted(value)}\n" for name, value in variables.items()))
    print(f"wrote {len(variables)} variables to {target}: {', '.join(variables)}", flush=True)


if __name__ == "__main__":
    main()
