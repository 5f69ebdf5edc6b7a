# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a check found wrong, in one shape for every check: which variable, its value, what is wrong, what to set."""

from __future__ import annotations


def finding(variable: str, value: object, problem: str, fix: str) -> dict[str, object]:
    """One problem. `value` is shown to the operator: never pass a secret."""
    return {"variable": variable, "value": value, "problem": problem, "fix": fix}


def render(findings: list[dict]) -> str:
    """All findings of a run as one numbered text."""
    if not findings:
        return "Nothing is wrong."
    count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
    lines = [f"{count} found; nothing was changed."]
    for number, found in enumerate(findings, start=1):
        value = "not set" if found["value"] in (None, "") else found["value"]
        lines.append(f"{number}. {found['variable']} ({value}): {found['problem']}")
        lines.append(f"   Fix: {found['fix']}")
    return "\n".join(lines)
