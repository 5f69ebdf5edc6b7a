"""Read from Secrets Manager, as an instance would. No comparison here shows a value."""

from __future__ import annotations

import json
from datetime import datetime

from tests.acceptance.data import check_secrets
from tests.acceptance.system import tags_of

NAMES = {
    "defaults": ("django-db-credentials", "django-secret-key", "django-app-db-credentials"),
    "altered": ("shop-db", "shop-key", "shop-app"),
}


def test_defaults(defaults):
    check_secrets(defaults)


def test_lengths_and_user(account):
    credentials = json.loads(account.secret(NAMES[account.environment][0]))
    length = 64 if account.environment == "altered" else 50
    assert credentials["username"] == ("shop" if account.environment == "altered" else "postgres")
    found = len(credentials["password"]), len(account.secret(NAMES[account.environment][1]))
    assert found == (length, length)


def test_the_application_begins_as_the_first_of_two(account):
    credentials = json.loads(account.secret(NAMES[account.environment][2]))
    assert credentials["username"] == ("shop_one" if account.environment == "altered" else "django_a")


def test_no_two_values_are_the_same(defaults, altered):
    values = [defaults.secret(NAMES["defaults"][1]), altered.secret(NAMES["altered"][1])]
    values += [json.loads(account.secret(NAMES[account.environment][0]))["password"] for account in (defaults, altered)]
    different = len(set(values))
    assert different == 4


def test_one_version_after_several_runs(account):
    for name in NAMES[account.environment]:
        versions = account.client("secretsmanager").list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
        assert len(versions) == 1, f"{name} was written again"


def test_tags_and_description(account):
    for name in NAMES[account.environment]:
        found = account.client("secretsmanager").describe_secret(SecretId=name)
        assert found["Description"] and tags_of(found)["Environment"] == account.environment
        assert tags_of(found).get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    """Not at once: for some days the deletion can be taken back. Days are counted from the request."""
    for name in NAMES[account.environment]:
        deleted = account.client("secretsmanager").describe_secret(SecretId=name)["DeletedDate"]
        days = round((deleted - datetime.now(deleted.tzinfo)).total_seconds() / 86400)
        assert days == (7 if account.environment == "altered" else 30)
