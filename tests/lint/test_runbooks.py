"""A cause that a runbook calls rehearsed is rehearsed, and what is rehearsed stands in a runbook."""

from __future__ import annotations

import re

from tests.rehearse import test_alarms, test_kubernetes, test_troubles
from tests.tree import ROOT

MARK = "(*rehearsed*)"
PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "runbooks").glob("*.md") if path.name != "README.md"}


def said(pages: list[str]) -> list[str]:
    """What the doctor says in the rows with the mark; three dots stand for what differs from system to system."""
    rows = [line for name in pages for line in PAGES[name].splitlines() if line.startswith("|") and MARK in line]
    return [words for row in rows for words in re.findall(r"`([^`]+)`", row.split("|")[1])]


def same(row: str, finding: str) -> bool:
    return finding in row or bool(re.search(re.escape(row).replace(r"\.\.\.", ".*"), finding))


def differences(rows: list[str], findings: list[str]) -> list[str]:
    only_page = [f"marked and not rehearsed: {row}" for row in rows if not any(same(row, one) for one in findings)]
    return only_page + [f"rehearsed and not marked: {one}" for one in findings if not any(same(row, one) for row in rows)]


def test_what_is_marked_is_rehearsed():
    others = [name for name in PAGES if name != "kubernetes.md"]
    findings = [*test_alarms.ALARMS, *(trouble.finding for trouble in test_troubles.TROUBLES.values())]
    assert findings and not differences(said(others), findings)


def test_what_is_marked_of_pods_is_rehearsed():
    """A row may name two findings; the fix is tried for one."""
    findings = [trouble[1] for trouble in test_kubernetes.TROUBLES.values()]
    rows = said(["kubernetes.md"])
    assert findings and rows and not [one for one in findings if not any(same(row, one) for row in rows)]
    marked = [line for line in PAGES["kubernetes.md"].splitlines() if MARK in line]
    assert not [line for line in marked if not any(same(row, one) for row in re.findall(r"`([^`]+)`", line) for one in findings)]


def test_a_mark_stands_nowhere_but_in_a_row():
    """One in a sentence would be compared with nothing."""
    assert not [line for text in PAGES.values() for line in text.splitlines() if "*rehearsed*" in line and not line.startswith("|")]
