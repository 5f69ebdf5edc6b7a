# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an environment costs a month."""

from __future__ import annotations

DOCUMENTATION = r"""
name: monthly_cost
short_description: What an environment costs a month, by part
version_added: 0.2.0
description:
  - From inputs of roles, what they ask for of what AWS bills, what that costs by part, and what could be saved.
  - With what M(espalier.aws.billed_info) found in the account, what it costs now, what it will cost after a run, and the parts that differ.
options:
  _input:
    description: Inputs of the roles, as M(espalier.aws.role_inputs) answers them.
    type: dict
    required: true
  prices:
    description: The price table, by name; each entry has C(dollars) and C(unit).
    type: dict
    required: true
  usage:
    description: What a month's traffic is taken to be; see C(suite_cost_usage).
    type: dict
    required: true
  found:
    description: Quantities of what exists; without it, C(before), C(after) and C(differences) are left out.
    type: dict
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ inputs['values'] | espalier.aws.monthly_cost(prices=prices, usage=suite_cost_usage) }}"
"""

RETURN = r"""
_value:
  description:
    - C(total) and C(parts) in dollars, C(lines) with quantity, unit and price, C(unpriced) with what the table has no price for and the sum
      leaves out, C(savings) with what each option saves by itself.
    - With O(found), C(before) and C(after), each with C(total), C(parts) and C(lines), and C(differences) by part.
  type: dict
"""

from ansible_collections.espalier.aws.plugins.module_utils import billing


def monthly_cost(values: dict, prices: dict, usage: dict, found: dict | None = None) -> dict:
    answer = {**billing.estimate(billing.from_inputs(values), prices, usage), "savings": billing.savings(values, prices, usage)}
    if found is not None:
        # Nobody visits what is not there.
        before = billing.estimate(found, prices, usage if found["machines"] or found["database"] else dict.fromkeys(usage, 0))
        after = billing.estimate(billing.wanted(values, found), prices, usage)
        answer |= {"before": before, "after": after, "differences": billing.differences(before, after)}
    return answer


class FilterModule:
    def filters(self):
        return {"monthly_cost": monthly_cost}
