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


def cost_table(estimate: dict, seed: dict | None = None) -> list[str]:
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
    lines += ["", "What could be saved, each by itself:"]
    for entry in estimate["savings"]:
        settings = ", ".join(setting(name, value) for name, value in entry["set"].items())
        lines.append(f"{entry['dollars']:10.2f}   {entry['option']} ({settings}); the loss: {entry['loss']}")
    return lines


class FilterModule:
    def filters(self):
        return {"cost_table": cost_table}
