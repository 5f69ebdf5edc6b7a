"""Compare a restored copy of a database with the living one: tables, rows, migrations. Reads only.

Standard input: JSON with side, live (empty where it is lost), port, name, username, password, and perhaps counted. Prints one line of JSON:
`tables` (by name: rows of both, null where there is no such table), `missing` (rows that the copy lacks), `migrations` (of both),
`problems`. Without a side it only counts the living one: `tables` (by name: rows), `migrations`; given back as `counted`, the copy is
compared with that and not with what has been written since. Runs on the application's own Python, for its driver. The password is
printed nowhere.
"""

import json
import shlex
import sys
import time
from pathlib import Path

try:
    import psycopg as driver
    from psycopg import sql
except ImportError:
    import psycopg2 as driver
    from psycopg2 import sql

# With what the planner believes of their size.
TABLES = """
    SELECT schemaname, t.relname, greatest(c.reltuples, 0)::bigint
    FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = t.relid ORDER BY 1, 2
"""
# Of large tables the planner's estimate is enough, and counting them would load the living database.
LARGE_ROWS = 1000000


def encryption():
    """How the release whose Python this is meets its database: with TLS, and with which authorities."""
    words = shlex.split((Path(sys.prefix).parent / "environment").read_text(), comments=True)
    found = dict(word.partition("=")[::2] for word in words)
    authorities = {"sslrootcert": found["PGSSLROOTCERT"]} if found.get("PGSSLROOTCERT") else {}
    return {"sslmode": found["ESPALIER_DATABASE_SSLMODE"], **authorities}


class Database:
    def __init__(self, host, question):
        login = {"user": question["username"], "password": question["password"]}
        self.connection = driver.connect(
            host=host, port=question["port"], dbname=question["name"], connect_timeout=10,
            options="-c default_transaction_read_only=on -c statement_timeout=60000", **login, **encryption(),
        )  # fmt: skip

    def query(self, statement):
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def rows(self):
        found = {}
        for schema, table, estimate in self.query(TABLES):
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = estimate if estimate > LARGE_ROWS else self.query(count)[0][0]
        return found

    def migrations(self, tables):
        if "public.django_migrations" not in tables:
            return None
        ((count, newest),) = self.query("SELECT count(*), max(applied) FROM django_migrations")
        return {"count": count, "newest": newest and newest.isoformat()}


def count(host, question):
    database = Database(host, question)
    tables = database.rows()
    return {"tables": tables, "migrations": database.migrations(tables)}


def compare(living, copied):
    lost = {"tables": {}, "migrations": None}
    live, copy = (living or lost)["tables"], copied["tables"]
    rows = {name: {"live": live.get(name), "copy": copy.get(name)} for name in sorted({*live, *copy})}
    problems = [f"the copy has no table {name}" for name in live if name not in copy]
    if not copy:
        problems.append("the copy has no table at all")
    if living and living["migrations"] != copied["migrations"]:
        problems.append("the copy has other migrations than the living database: deploy after the switch")
    return {
        "tables": rows,
        "missing": sum(max((row["live"] or 0) - (row["copy"] or 0), 0) for row in rows.values()),
        "migrations": {"live": (living or lost)["migrations"], "copy": copied["migrations"]},
        "problems": problems,
    }


def main():
    question = json.load(sys.stdin)
    started = time.time()
    living = question.get("counted") or (count(question["live"], question) if question["live"] else None)
    answer = compare(living, count(question["side"], question)) if question["side"] else living
    answer["seconds"] = round(time.time() - started, 1)
    print(json.dumps(answer))


if __name__ == "__main__":
    try:
        main()
    except driver.Error as error:
        sys.exit(str(error).strip() or type(error).__name__)
