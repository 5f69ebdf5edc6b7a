# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A diagnosis as lines of text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_screen
short_description: What the doctor found, for a terminal
version_added: 0.3.0
description:
  - Numbers the findings of M(espalier.aws.stack_doctor), each with its fix, and says what could not be looked at.
options:
  _input:
    description: What M(espalier.aws.stack_doctor) answers.
    type: dict
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ diagnosis | espalier.aws.diagnosis_screen }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def diagnosis_screen(diagnosis: dict) -> list[str]:
    findings = diagnosis["findings"]
    lines = []
    for number, one in enumerate(findings, start=1):
        mark = "" if one["severity"] == "problem" else " (warning)"
        lines += [f"{number}. {one['check']}, {one['subject']}{mark}: {one['problem']}", f"   Fix: {one['fix']}"]
    lines += [f"Not looked at: {name}: {reason}" for name, reason in sorted(diagnosis["unknown"].items())]
    problems = sum(one["severity"] == "problem" for one in findings)
    checks = count(diagnosis["checks"], "check")
    rest = "What else differs from the inventory: make plan"
    if not findings:
        return [*lines, f"Nothing is wrong, as far as {checks} can see; nothing was changed.", rest]
    verdict = f"{count(problems, 'problem')}, {count(len(findings) - problems, 'warning')} by {checks}; nothing was changed."
    return [*lines, "", verdict, rest]


class FilterModule:
    def filters(self):
        return {"diagnosis_screen": diagnosis_screen}
