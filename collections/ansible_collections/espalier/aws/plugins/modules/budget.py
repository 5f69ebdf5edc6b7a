#!/usr/bin/python
# Copyright: Contributors to the Espalier project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: budget
version_added: 0.2.0
short_description: Manage a monthly cost budget of AWS Budgets with its e-mails
description:
  - A budget tells people when the month's bill has reached, or is expected to reach, some percent of an amount. It stops nothing.
author:
  - Contributors to the Espalier project
options:
  name:
    description:
      - Name of the budget; one in an account.
    type: str
    required: true
  account_id:
    description:
      - The account, 12 digits.
    type: str
    required: true
  amount_usd:
    description:
      - Dollars a month. Required when O(state=present).
    type: float
  actual_percents:
    description:
      - Percents of the amount at which people are told that they were spent.
    type: list
    elements: int
    default: [80, 100]
  forecast_percents:
    description:
      - Percents of the amount at which people are told that they are expected by the month's end.
    type: list
    elements: int
    default: [100]
  emails:
    description:
      - Addresses, 1 to 10. Required when O(state=present).
    type: list
    elements: str
  cost_filters:
    description:
      - What is counted, lists of values by dimension. Under C(TagKeyValue) a value such as C(user:Environment$production) counts what
        carries the tag, once it is activated for cost allocation. Empty for the whole account.
    type: dict
    default: {}
  state:
    description:
      - Whether the budget exists.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: full
    description: Shows the budget before and after.
"""

EXAMPLES = r"""
- name: Tell when the bill grows
  espalier.aws.budget:
    name: production-django
    account_id: "123456789012"
    amount_usd: 200
    emails: [ops@example.com]
"""

RETURN = r"""
amount_usd:
  description: Dollars a month afterwards; 0 without a budget.
  returned: success
  type: float
  sample: 200.0
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def as_notification(kind, percent):
    return {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": float(percent), "ThresholdType": "PERCENTAGE"}


def read_notifications(client, names):
    """Addresses by (kind, percent)."""
    found = {}
    pages = client.get_paginator("describe_notifications_for_budget").paginate(**names)
    for notification in [one for page in pages for one in page["Notifications"]]:
        # AWS tells its state, too, and does not want it back.
        plain = {key: notification[key] for key in as_notification("", 0) if key in notification}
        told = client.get_paginator("describe_subscribers_for_notification").paginate(**names, Notification=plain)
        addresses = sorted(one["Address"] for page in told for one in page["Subscribers"])
        found[notification["NotificationType"], float(notification["Threshold"])] = addresses
    return found


def find(client, names):
    """The budget as wanted() writes it, or None."""
    try:
        budget = client.describe_budget(**names, aws_retry=True)["Budget"]
    except is_boto3_error_code("NotFoundException"):
        return None
    return {
        "amount_usd": float(budget["BudgetLimit"]["Amount"]),
        "cost_filters": budget.get("CostFilters") or {},
        "notifications": read_notifications(client, names),
    }


def wanted(params):
    kinds = {"ACTUAL": params["actual_percents"], "FORECASTED": params["forecast_percents"]}
    return {
        "amount_usd": params["amount_usd"],
        "cost_filters": params["cost_filters"],
        "notifications": {(kind, float(percent)): sorted(params["emails"]) for kind, percents in kinds.items() for percent in percents},
    }


def write(client, names, before, after):
    """Make what is different the same."""
    budget = {
        "BudgetName": names["BudgetName"],
        "BudgetLimit": {"Amount": f"{after['amount_usd']:.2f}", "Unit": "USD"},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
        "CostFilters": after["cost_filters"],
    }
    if before is None:
        client.create_budget(AccountId=names["AccountId"], Budget=budget, aws_retry=True)
    elif (before["amount_usd"], before["cost_filters"]) != (after["amount_usd"], after["cost_filters"]):
        client.update_budget(AccountId=names["AccountId"], NewBudget=budget, aws_retry=True)
    old = before["notifications"] if before else {}
    # Also for other addresses: a notification cannot be without one, not even for a moment.
    for key in [key for key in old if after["notifications"].get(key) != old[key]]:
        client.delete_notification(**names, Notification=as_notification(*key), aws_retry=True)
    for key, emails in after["notifications"].items():
        if old.get(key) != emails:
            subscribers = [{"SubscriptionType": "EMAIL", "Address": address} for address in emails]
            client.create_notification(**names, Notification=as_notification(*key), Subscribers=subscribers, aws_retry=True)


def shown(budget):
    """For a diff: JSON has no tuples for keys."""
    if not budget:
        return {}
    return {**budget, "notifications": {f"{kind} {percent:.0f} %": emails for (kind, percent), emails in budget["notifications"].items()}}


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "account_id": {"type": "str", "required": True},
            "amount_usd": {"type": "float"},
            "actual_percents": {"type": "list", "elements": "int", "default": [80, 100]},
            "forecast_percents": {"type": "list", "elements": "int", "default": [100]},
            "emails": {"type": "list", "elements": "str"},
            "cost_filters": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["amount_usd", "emails"])],
        supports_check_mode=True,
    )
    names = {"AccountId": module.params["account_id"], "BudgetName": module.params["name"]}
    after = wanted(module.params) if module.params["state"] == "present" else None
    client = module.client("budgets", retry_decorator=AWSRetry.jittered_backoff())
    try:
        before = find(client, names)
        if before != after and not module.check_mode:
            if after:
                write(client, names, before, after)
            else:
                client.delete_budget(**names, aws_retry=True)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to manage the budget {module.params['name']}")
    amount = after["amount_usd"] if after else 0.0
    module.exit_json(changed=before != after, amount_usd=amount, diff={"before": shown(before), "after": shown(after)})


if __name__ == "__main__":
    main()
