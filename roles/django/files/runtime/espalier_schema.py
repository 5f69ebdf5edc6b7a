"""The database's schema and this release: migrate once, say what would break who, compare with another release.

usage: manage espalier migrate [--allow-breaking] [--lock-seconds N] [--statement-lock-seconds N]
       manage espalier plan
       manage espalier compare < {"app": ["0003_last", ...], ...}
       manage espalier monitor

`migrate` holds an advisory lock of PostgreSQL, so that of all that try (instances, controllers, Kubernetes) one migrates and the others
find nothing left to do. It waits for that lock for --lock-seconds, and for the locks of its own statements for
--statement-lock-seconds: a migration that waits behind a long query would make everybody else wait behind it. What would break the
release that serves is named and refused.
Ends with 3 after such a refusal.

`compare` takes the newest migrations of another release, by app, and says on its last line as JSON what going there means: {"verdict":
"same", "compatible", "reversible", "blocked" or "newer", "reasons": [...], "commands": [...]}.

`monitor` makes the user MONITORING_USERNAME with MONITORING_PASSWORD, who sees PostgreSQL's statistics and no data, and the extension that
gathers those of queries.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from argparse import ArgumentParser
from contextlib import contextmanager

# Any number will do, as long as everybody takes the same: the first eight bytes of SHA-256 of "espalier.migrate", with a sign.
ADVISORY_LOCK = 6797266797306153054
REFUSED = 3


class Refused(Exception):
    """The message says what is wrong and what to do."""


def null(field):
    """Whether a row without a value for the field can be written by who does not know it."""
    from django.db.models import NOT_PROVIDED

    # db_default came with Django 5.0.
    return field.null or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED or field.many_to_many or field.column is None


def breaking(operation, app, state):
    """What the operation takes away from a release that does not know it; nothing where it breaks nobody. `state` is that before it."""
    from django.db.migrations import operations as known

    name = type(operation).__name__
    if isinstance(operation, known.SeparateDatabaseAndState):
        found = []
        for inner in operation.database_operations:
            found += breaking(inner, app, state)
            inner.state_forwards(app, state)
        return found
    if isinstance(operation, known.DeleteModel):
        return [f"{name} {app}.{operation.name}: drops its table"]
    if isinstance(operation, known.RenameModel):
        return [f"{name} {app}.{operation.old_name} to {operation.new_name}: renames its table"]
    if isinstance(operation, known.AlterModelTable):
        return [f"{name} {app}.{operation.name}: renames its table to {operation.table}"]
    if isinstance(operation, known.RemoveField):
        return [f"{name} {app}.{operation.model_name}.{operation.name}: drops its column"]
    if isinstance(operation, known.RenameField):
        return [f"{name} {app}.{operation.model_name}.{operation.old_name} to {operation.new_name}: renames its column"]
    if isinstance(operation, known.AddField | known.AlterField):
        return field_breaks(operation, app, state, name)
    return []


def field_breaks(operation, app, state, name):
    """A column that must have a value, which the other release does not write; a column of another name."""
    from django.db.migrations import operations as known

    after = state.clone()
    operation.state_forwards(app, after)
    new = after.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
    where = f"{name} {app}.{operation.model_name}.{operation.name}"
    if isinstance(operation, known.AddField):
        return [] if null(new) else [f"{where}: NOT NULL without a default in the database, so rows cannot be added without it"]
    old = state.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
    if old.column != new.column:
        return [f"{where}: renames its column from {old.column} to {new.column}"]
    return [f"{where}: becomes NOT NULL"] if null(old) and not null(new) else []


def breaking_of(migrations, loader):
    """By migration, in order: what breaks others. Each is looked at in the state that it finds."""
    found, created = {}, set()
    for migration in migrations:
        key = (migration.app_label, migration.name)
        state = loader.project_state(key, at_end=False)
        lines = []
        for operation in migration.operations:
            model = (migration.app_label, str(getattr(operation, "model_name", None) or getattr(operation, "name", None)).lower())
            if type(operation).__name__ == "CreateModel":
                created.add(model)
            # Nobody else knows a table that these migrations have made themselves.
            if model not in created:
                lines += breaking(operation, migration.app_label, state)
            operation.state_forwards(migration.app_label, state)
        if lines:
            found[".".join(key)] = lines
    return found


def executor_of(connection):
    from django.db.migrations.executor import MigrationExecutor

    return MigrationExecutor(connection)


def forward(executor):
    """Migrations that are not applied yet, in order."""
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


@contextmanager
def alone(connection, lock_seconds, statement_seconds):
    """Keep every other migration out. What is no PostgreSQL has no such lock, and no second machine."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{lock_seconds}s"])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        except Exception as error:
            raise Refused(
                f"another migration has been running for more than {lock_seconds} s (advisory lock {ADVISORY_LOCK}): {error}"
            ) from None
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{statement_seconds}s"])
    try:
        yield
    finally:
        # A broken connection has given it back already.
        if connection.connection is not None and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def refuse_breaking(found):
    lines = [f"  {name}: {line}" for name, lines in found.items() for line in lines]
    raise Refused(
        "\n".join(
            [
                "Nothing was migrated: these operations break the release that serves while this one takes its place.",
                *lines,
                "Deploy them in two steps (first a release that does without, then the one that takes it away), or accept errors until "
                "every instance is switched with -e app_allow_breaking_migrations=true.",
            ]
        )
    )


def migrate(options):
    from django.core.management import call_command
    from django.db import connection

    with alone(connection, options.lock_seconds, options.statement_lock_seconds):
        executor = executor_of(connection)
        plan = forward(executor)
        # An empty database serves nobody whom it could break.
        if executor.loader.applied_migrations and not options.allow_breaking and (found := breaking_of(plan, executor.loader)):
            refuse_breaking(found)
        call_command("migrate", interactive=False)
    if found := local_uploads():
        print(f"UPLOADS ON DISK: {', '.join(found)}")


def local_uploads():
    """Fields whose files stay on the machine that an upload reaches."""
    from django.apps import apps
    from django.core.files.storage import FileSystemStorage
    from django.db.models import FileField

    fields = (field for model in apps.get_models() for field in model._meta.get_fields() if isinstance(field, FileField))
    return [str(field) for field in fields if isinstance(field.storage, FileSystemStorage)]


def plan(_options):
    from django.db import connection

    executor = executor_of(connection)
    plan = forward(executor)
    found = breaking_of(plan, executor.loader) if executor.loader.applied_migrations else {}
    names = [f"{migration.app_label}.{migration.name}" for migration in plan]
    print("\n".join(["Migrations to run:", *names] if names else ["No planned migration operations."]))
    print(json.dumps({"migrations": names, "breaking": found}))


def beyond(loader, target):
    """Applied migrations that a release with these leaves does not have, and leaves that are unknown here."""
    graph, applied = loader.graph, loader.applied_migrations
    unknown = sorted(
        f"{app}.{name}" for app, names in target.items() for name in names if (app, name) not in graph.nodes and app in loader.migrated_apps
    )
    covered = {
        node for app, names in target.items() for name in names if (app, name) in graph.nodes for node in graph.forwards_plan((app, name))
    }
    extra = [key for key in graph.nodes if key in applied and key not in covered]
    order = [node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf)]
    return sorted(extra, key=order.index), unknown


def commands_back(extra, target):
    """What takes the extra migrations back: each app to its leaf in the other release."""
    apps = list(dict.fromkeys(app for app, _ in reversed(extra)))
    return [f"migrate {app} {target[app][0] if target.get(app) else 'zero'}" for app in apps]


def compared(loader, target):
    extra, unknown = beyond(loader, target)
    if unknown:
        return {"verdict": "newer", "reasons": [f"it brings {name}" for name in unknown], "commands": []}
    if not extra:
        return {"verdict": "same", "reasons": [], "commands": []}
    migrations = [loader.graph.nodes[key] for key in extra]
    found = breaking_of(migrations, loader)
    names = [".".join(key) for key in extra]
    if not found:
        return {"verdict": "compatible", "reasons": [f"{name} stays and does no harm" for name in names], "commands": []}
    reasons = [f"{name}: {line}" for name, lines in found.items() for line in lines]
    stuck = [
        f"{migration.app_label}.{migration.name}: {type(operation).__name__} cannot be reversed"
        for migration in migrations
        for operation in migration.operations
        if not operation.reversible
    ]
    if stuck:
        return {"verdict": "blocked", "reasons": reasons + stuck, "commands": []}
    return {"verdict": "reversible", "reasons": reasons, "commands": commands_back(extra, target)}


def compare(_options):
    from django.db import connection

    print(json.dumps(compared(executor_of(connection).loader, json.load(sys.stdin))))


def scram_verifier(password):
    """What PostgreSQL keeps of a password. Told the password itself, it would show it in its log and in pg_stat_statements."""
    salt, rounds = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256")))
    return f"SCRAM-SHA-256${rounds}:{salt}${stored}:{server}"


def monitor(_options):
    from django.db import connection

    user, password = os.environ["MONITORING_USERNAME"], os.environ["MONITORING_PASSWORD"]
    if connection.vendor != "postgresql":
        raise Refused("there are statistics of PostgreSQL only")
    # PostgreSQL takes no parameters in these statements, so neither may hold a quote.
    if not re.fullmatch("[a-z][a-z0-9_]*", user):
        raise Refused(f"'{user}' is no name for a user: small letters, digits and underscores")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user])
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        cursor.execute(f"{verb} ROLE {user} LOGIN CONNECTION LIMIT 5 PASSWORD '{scram_verifier(password)}'")
        cursor.execute(f"GRANT pg_monitor TO {user}")
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    print(f"the user {user} reads the statistics of {connection.settings_dict['NAME']}")


def main():
    import django

    parser = ArgumentParser(prog="manage espalier")
    parser.add_argument("verb", choices=["migrate", "plan", "compare", "monitor"])
    parser.add_argument("--allow-breaking", action="store_true")
    parser.add_argument("--lock-seconds", type=int, default=300)
    parser.add_argument("--statement-lock-seconds", type=int, default=5)
    options = parser.parse_args()
    django.setup()
    try:
        {"migrate": migrate, "plan": plan, "compare": compare, "monitor": monitor}[options.verb](options)
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
