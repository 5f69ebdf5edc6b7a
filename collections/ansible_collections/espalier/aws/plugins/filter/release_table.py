# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases as lines of text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_table
short_description: What release_info answers as a table for people
version_added: 0.2.0
description:
  - One line for each release, the newest first, with version, age, who made it, whether it serves, served before or is what a
    rollback goes to, and what of its schema is not as in the current one.
  - Then the newest entries of the log, the newest first, with when, what, from, to, result and who.
options:
  _input:
    description: What M(espalier.aws.release_info) answers.
    type: dict
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ releases | espalier.aws.release_table }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
HEAD = ("version", "age", "who", "place", "schema")
LOG_HEAD = ("when", "what", "from", "to", "result", "who")
LOG_LINES = 10


def age(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size or size == 1)
    return f"{seconds // size} {unit}"


def schema(leaves: dict[str, list[str]], current: dict[str, list[str]]) -> str:
    """What differs from the current release."""
    names = sorted({*leaves, *current})
    differing = [f"{app} {'+'.join(leaves.get(app) or ['none'])}" for app in names if leaves.get(app) != current.get(app)]
    return ", ".join(differing) or "as now"


def rows(found: dict) -> list[tuple[str, ...]]:
    places = {"current": "current", "previous": "previous", "last_good": "rollback"}
    now = next((release["leaves"] for release in found["releases"] if release["version"] == found["current"]), {})
    lines = []
    for release in found["releases"]:
        place = "+".join(word for name, word in places.items() if found[name] == release["version"])
        who = release.get("made_by", "").rpartition(":")[2]
        lines.append((release["version"], age(release["age_seconds"]), who, place or "-", schema(release["leaves"], now)))
    return lines


def log_rows(log: list[dict]) -> list[tuple[str, ...]]:
    newest = reversed(log[-LOG_LINES:])
    return [(*(entry[name] or "-" for name in ("at", "what", "from", "to", "result")), entry["who"].rpartition(":")[2]) for entry in newest]


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in table]


def release_table(found: dict) -> list[str]:
    lines, lock = aligned([HEAD, *rows(found)]), found["lock"]
    if found["log"]:
        lines += ["", *aligned([LOG_HEAD, *log_rows(found["log"])])]
    return [*lines, f"locked by {lock['owner']} since {lock['since']} ({lock['what']})"] if lock else lines


class FilterModule:
    def filters(self):
        return {"release_table": release_table}
