"""Asked over the API of AWS Budgets: how much, what for, and who is told when."""

from __future__ import annotations

import pytest

from tests.acceptance.system import only
from tests.molecule.fixtures import account_of

NAMES = {"defaults": "defaults-django", "enabled": "enabled-django", "altered": "shop"}


def budgets(account) -> list[dict]:
    found = account.client("budgets").describe_budgets(AccountId=account.account_id)["Budgets"]
    return [one for one in found if one["BudgetName"] == NAMES[account.environment]]


def told(account) -> dict[tuple[str, float], list[str]]:
    client, names = account.client("budgets"), {"AccountId": account.account_id, "BudgetName": NAMES[account.environment]}
    return {
        (one["NotificationType"], one["Threshold"]): [
            person["Address"] for person in client.describe_subscribers_for_notification(**names, Notification=one)["Subscribers"]
        ]
        for one in client.describe_notifications_for_budget(**names)["Notifications"]
    }


def test_there_is_none_unless_asked(defaults):
    assert not budgets(defaults)


def test_enabled():
    account = account_of("enabled")
    budget = only(budgets(account), "budget")
    assert (budget["BudgetLimit"], budget["TimeUnit"]) == ({"Amount": "500.00", "Unit": "USD"}, "MONTHLY")
    assert not budget.get("CostFilters"), "not the whole account is counted"
    people = ["enabled@example.com"]
    assert told(account) == {("ACTUAL", 80): people, ("ACTUAL", 100): people, ("FORECASTED", 100): people}


def test_altered(altered):
    budget = only(budgets(altered), "budget")
    assert budget["BudgetLimit"]["Amount"] == "1234.50"
    assert budget["CostFilters"] == {"TagKeyValue": ["user:Environment$altered"]}
    people = ["boss@example.com", "ops@example.com"]
    assert told(altered) == {("ACTUAL", 50): people, ("FORECASTED", 90): people, ("FORECASTED", 120): people}


@pytest.mark.parametrize("environment", NAMES)
def test_gone(environment):
    assert not budgets(account_of(environment))
