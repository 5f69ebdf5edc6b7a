# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A monthly bill as lines of text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cost_table
short_description: What monthly_cost answers as a table for people
version_added: 0.2.0
description:
  - The cost of each part with what it is made of, the sum, and what could be saved.
options:
  _input:
    description: What P(espalier.aws.monthly_cost#filter) answers.
    type: dict
    required: true
  seed:
    description: Another list of dollars by part, to stand beside it.
    type: dict
  why:
    description: Why a part is not what that list says, by part.
    type: dict
  budget:
    description:
      - A budget, with C(enabled), C(amount_usd), and C(actual_percents), those of the amount at which it sends an e-mail.
      - Where the estimate is above the least of them, the table says so, since it does that every month.
    type: dict
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ cost_estimate | espalier.aws.cost_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def setting(name: str, value: object) -> str:
    return f"{name}: {str(value).lower() if isinstance(value, bool) else value}"


def budget_warning(total: float, budget: dict) -> list[str]:
    amount, percent = float(budget["amount_usd"]), min(map(float, budget["actual_percents"]), default=100)
    told_at = amount * percent / 100
    if not budget["enabled"] or total <= told_at:
        return []
    return [
        f"The budget (budget_amount_usd: {amount:g}) sends its e-mail at {percent:g} percent, {told_at:.2f} dollars, which is below this"
        f" estimate: it would do so every month. {int(total / percent * 100) + 1} would not."
    ]


def cost_table(estimate: dict, seed: dict | None = None, why: dict | None = None, budget: dict | None = None) -> list[str]:
    lines = []
    for part, dollars in estimate["parts"].items():
        beside = f"   the seed says {seed[part]}" if seed and part in seed else ""
        lines.append(f"{part:18}{dollars:10.2f}{beside}")
        for line in estimate["lines"]:
            if line["part"] == part:
                sum_of = f"{line['quantity']:g} x {line['price']:g} a {line['unit']}"
                lines.append(f"    {line['what']}: {sum_of} = {line['dollars']:.2f}")
    lines.append(f"{'Dollars a month':18}{estimate['total']:10.2f}" + (f"   the seed says {sum(seed.values())}" if seed else ""))
    lines += [f"No price is known of {name}, which is not in the sum: add it to suite_cost_prices" for name in estimate["unpriced"]]
    lines += budget_warning(estimate["total"], budget) if budget else []
    if why:
        lines += ["", "Why a part is not what the seed says, in an environment with its defaults:"]
        lines += [f"    {part}: {why[part]}" for part in {**estimate["parts"], **(seed or {})} if part in why]
    lines += ["", "What could be saved, each by itself:"]
    for entry in estimate["savings"]:
        settings = ", ".join(setting(name, value) for name, value in entry["set"].items())
        lines.append(f"{entry['dollars']:10.2f}   {entry['option']} ({settings}); the loss: {entry['loss']}")
    return lines


class FilterModule:
    def filters(self):
        return {"cost_table": cost_table}
