"""budget: made, the same again, another amount, other people, removed; each planned before."""

from __future__ import annotations

import pytest
from moto.budgets.models import BudgetsBackend
from moto.budgets.responses import BudgetsResponse

from lab.api import budgets as addition
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

NAMES = {"AccountId": "123456789012", "BudgetName": "lab-django"}


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(addition, BudgetsBackend, BudgetsResponse):
        yield


@pytest.fixture
def run(capsys):
    given = {"name": "lab-django", "account_id": "123456789012", "amount_usd": 200, "emails": ["ops@example.com"]}
    return lambda check_mode=False, **options: run_module(capsys, "budget", check_mode=check_mode, **{**given, **options})


def budgets() -> list[dict]:
    return client("budgets").describe_budgets(AccountId=NAMES["AccountId"])["Budgets"]


def told() -> dict[tuple[str, float], list[str]]:
    found = {}
    for one in client("budgets").describe_notifications_for_budget(**NAMES)["Notifications"]:
        people = client("budgets").describe_subscribers_for_notification(**NAMES, Notification=one)["Subscribers"]
        found[one["NotificationType"], one["Threshold"]] = [person["Address"] for person in people]
    return found


def test_its_life(run):
    assert run(check_mode=True)["changed"] and not budgets()
    assert run()["changed"]
    (budget,) = budgets()
    assert (budget["BudgetLimit"], budget["TimeUnit"], budget["BudgetType"]) == ({"Amount": "200.00", "Unit": "USD"}, "MONTHLY", "COST")
    ops = ["ops@example.com"]
    assert told() == {("ACTUAL", 80.0): ops, ("ACTUAL", 100.0): ops, ("FORECASTED", 100.0): ops}
    assert not run()["changed"]

    tags = {"TagKeyValue": ["user:Environment$lab"]}
    assert run(amount_usd=250.5, cost_filters=tags, check_mode=True)["changed"] and budgets()[0]["BudgetLimit"]["Amount"] == "200.00"
    assert run(amount_usd=250.5, cost_filters=tags)["changed"]
    assert budgets()[0]["BudgetLimit"]["Amount"] == "250.50" and budgets()[0]["CostFilters"] == tags
    assert not run(amount_usd=250.5, cost_filters=tags)["changed"]

    both = {"emails": ["boss@example.com", "ops@example.com"], "actual_percents": [50], "forecast_percents": []}
    plan = run(**both, check_mode=True)
    assert plan["changed"] and plan["diff"]["after"]["notifications"] == {"ACTUAL 50 %": both["emails"]}
    assert run(**both)["changed"] and told() == {("ACTUAL", 50.0): both["emails"]}
    assert not run(**both)["changed"]
    assert run(**{**both, "emails": ops})["changed"] and told() == {("ACTUAL", 50.0): ops}

    assert run(state="absent", check_mode=True)["changed"] and budgets()
    assert run(state="absent")["changed"] and not budgets()
    assert not run(state="absent")["changed"]


def test_what_aws_refuses_is_said(run):
    assert "at most 5" in run(actual_percents=[10, 20, 30, 40, 50, 60])["msg"]
    assert "Subscribers" in run(emails=[])["msg"]
