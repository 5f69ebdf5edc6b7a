"""AWS Budgets: what moto lacks. Nothing is spent in the lab, and nobody is told.

- UpdateBudget, DescribeSubscribersForNotification
- the limits of AWS: five notifications a budget, one to ten addresses each, no notification twice
"""

from __future__ import annotations

import json
from typing import Any

from moto.budgets.models import Budget, BudgetsBackend, Notification
from moto.budgets.responses import BudgetsResponse
from moto.core.exceptions import JsonRESTError
from moto.core.utils import unix_time

MOST_NOTIFICATIONS = 5
MOST_SUBSCRIBERS = 11


def refusal(code: str, message: str) -> JsonRESTError:
    return JsonRESTError(code, message)


def budget_of(response: BudgetsResponse, name: str) -> Budget:
    found = response.backend.budgets[response._get_param("AccountId")].get(name)
    if found is None:
        raise refusal("NotFoundException", f"Unable to get budget: {name} - the budget doesn't exist.")
    return found


def notification_of(budget: Budget, wanted: dict[str, Any]) -> Notification | None:
    return next((one for one in budget.notifications if one.details == wanted), None)


def update_budget(self: BudgetsResponse) -> str:
    new = self._get_param("NewBudget")
    budget = budget_of(self, new["BudgetName"])
    budget.budget.update({**new, "LastUpdatedTime": unix_time()})
    return json.dumps({})


def describe_subscribers_for_notification(self: BudgetsResponse) -> str:
    found = notification_of(budget_of(self, self._get_param("BudgetName")), self._get_param("Notification"))
    if found is None:
        raise refusal("NotFoundException", "Unable to find notification")
    return json.dumps({"Subscribers": found.subscribers})


def install() -> None:
    original = BudgetsBackend.create_notification

    def create_notification(
        self: BudgetsBackend, account_id: str, budget_name: str, notification: dict[str, Any], subscribers: list[dict[str, Any]]
    ) -> None:
        budget = self.budgets[account_id].get(budget_name)
        if budget and notification_of(budget, notification):
            raise refusal("DuplicateRecordException", "Unable to create notification - the notification already exists.")
        if budget and len(budget.notifications) >= MOST_NOTIFICATIONS:
            raise refusal("CreationLimitExceededException", f"A budget has at most {MOST_NOTIFICATIONS} notifications.")
        if not 1 <= len(subscribers) <= MOST_SUBSCRIBERS:
            raise refusal("InvalidParameterException", "A notification needs at least one subscriber.")
        original(self, account_id, budget_name, notification, subscribers)

    BudgetsBackend.create_notification = create_notification
    BudgetsResponse.update_budget = update_budget
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification
