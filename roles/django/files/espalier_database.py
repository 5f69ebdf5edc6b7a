"""The application's own users of the database: two who take turns, and a role that owns everything which either of them makes.

usage: espalier_database.py check | user | setup STAGE LENT   RELEASE

`check` ends with 0 when the secret's user can work in the database, with 3 when the server refuses the login.
`user` prints the user that the running service was started with; nothing when none runs.
`setup` makes sure of users, rights and password, with the master's credentials out of the secret LENT. STAGE is the version of the
application's secret whose user and password are set: AWSCURRENT or AWSPENDING. May be run again.

RELEASE is a built release's folder, whose orders (environment) name parameter, secret and database. Run with the release's Python, whose
Psycopg it takes. Passwords reach the server as SCRAM verifiers, so that no statement log shows one; nothing is printed.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from espalier_aws import Aws, AwsError

try:
    import psycopg
    from psycopg import sql

    encrypt_password = None
except ImportError:
    try:
        import psycopg2 as psycopg
        from psycopg2 import sql
        from psycopg2.extensions import encrypt_password
    except ImportError:
        # The system's own Python, which is enough for `user`.
        psycopg = None

REFUSED = 3
# SQLSTATE of what a login is refused with: https://www.postgresql.org/docs/16/errcodes-appendix.html
REFUSALS = ("28P01", "28000")


class Orders:
    """What a release knows of its database."""

    def __init__(self, release):
        lines = (release / "environment").read_text().splitlines()
        pairs = (shlex.split(line)[0].partition("=") for line in lines if line.startswith(("ESPALIER_DATABASE_", "PGSSLROOTCERT")))
        found = {name: value for name, _, value in pairs}
        self.aws = Aws()
        self.secret = found["ESPALIER_DATABASE_SECRET"]
        self.database = found["ESPALIER_DATABASE_NAME"]
        host, _, port = self.aws.parameter(found["ESPALIER_DATABASE_PARAMETER"]).partition(":")
        self.server = {
            "host": host,
            "port": port or found["ESPALIER_DATABASE_PORT"],
            "dbname": self.database,
            "sslmode": found["ESPALIER_DATABASE_SSLMODE"],
            "connect_timeout": 10,
        }
        if found.get("PGSSLROOTCERT"):
            self.server["sslrootcert"] = found["PGSSLROOTCERT"]

    def login(self, secret, stage="AWSCURRENT"):
        value = json.loads(self.aws.secret(secret, stage))
        return value["username"], value["password"]

    def connect(self, user, password):
        connection = psycopg.connect(**self.server, user=user, password=password)
        connection.autocommit = True
        return connection


def owner_of(user):
    """The role that owns what its users make: django_owner for django_a and django_b."""
    return f"{user.rpartition('_')[0] or user}_owner"


def verifier(connection, user, password):
    """As the server keeps it."""
    if encrypt_password is None:
        return connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    return encrypt_password(password, user, connection, "scram-sha-256")


def refused(error, user):
    """Whether the server has answered, and did not let the user in. libpq tells no SQLSTATE of a connection that failed."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    words = (
        f'password authentication failed for user "{user}"',
        f'role "{user}" does not exist',
        f'role "{user}" is not permitted to log in',
    )
    return state in REFUSALS or any(word in str(error) for word in words)


def check(orders):
    """Whether the user can log in and works as the owner."""
    user, password = orders.login(orders.secret)
    try:
        connection = orders.connect(user, password)
    except psycopg.OperationalError as error:
        if refused(error, user):
            print(f"{user} cannot log in yet")
            return REFUSED
        sys.exit(f"the database cannot be asked: {error}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        working = cursor.fetchone()[0]
    connection.close()
    print(f"{user} works as {working}")
    return 0 if working == owner_of(user) else REFUSED


def setup(orders, stage, lent):
    """Everything that the application needs of the database, made by the master."""
    user, password = orders.login(orders.secret, stage)
    master, master_password = orders.login(lent)
    if user == master:
        sys.exit(f"the secret {orders.secret} holds the master user {master}: the application needs users of its own")
    connection, owner = orders.connect(master, master_password), owner_of(user)
    with connection.cursor() as cursor:
        Setup(cursor, orders.database).run(master, owner, user, verifier(connection, user, password))
    connection.close()
    orders.connect(user, password).close()
    print(f"{user} can log in and works as {owner}")


class Setup:
    def __init__(self, cursor, database):
        self.cursor, self.database = cursor, database

    def do(self, text, *names):
        self.cursor.execute(sql.SQL(text).format(*map(sql.Identifier, names)))

    def has(self, role):
        self.cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        return self.cursor.fetchone() is not None

    def run(self, master, owner, user, secret):
        if not self.has(owner):
            self.do("CREATE ROLE {} NOLOGIN", owner)
        # Else the master could not give things to it, nor look into them later.
        self.cursor.execute("SELECT pg_has_role(%s, 'USAGE')", (owner,))
        if not self.cursor.fetchone()[0]:
            self.do("GRANT {} TO {}", owner, master)
        if not self.has(user):
            self.do("CREATE ROLE {} NOLOGIN", user)
        self.cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), sql.Literal(secret)))
        self.do("GRANT {} TO {}", owner, user)
        # From the login on it is the owner, whichever of the two it is: tables never belong to one of them.
        self.do("ALTER ROLE {} IN DATABASE {} SET role TO {}", user, self.database, owner)
        self.take_over(master, owner)

    def take_over(self, master, owner):
        """What the master has made in this database so far belongs to the owner from now on. Its other databases stay its own."""
        self.cursor.execute(
            "SELECT datname FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND datname <> %s",
            (self.database,),
        )
        others = [row[0] for row in self.cursor.fetchall()]
        self.do("REASSIGN OWNED BY {} TO {}", master, owner)
        self.do("ALTER DATABASE {} OWNER TO {}", self.database, owner)
        for name in others:
            self.do("ALTER DATABASE {} OWNER TO {}", name, master)


def running_user():
    """Out of the environment of Gunicorn's first process, which its workers have, too."""
    command = ["systemctl", "show", "--property", "MainPID", "--value", "gunicorn.service"]
    pid = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        variables = Path("/proc", pid, "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((entry.partition(b"=")[2].decode() for entry in variables if entry.startswith(b"RDS_USERNAME=")), "")


def main():
    what, *words = sys.argv[1:]
    if what == "user":
        print(running_user())
        return 0
    if psycopg is None:
        sys.exit(f"{sys.executable} has no Psycopg: run this with a release's Python")
    try:
        orders = Orders(Path(words[-1]))
        if what == "check":
            return check(orders)
        setup(orders, *words[:2])
    except (AwsError, KeyError, psycopg.Error) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
