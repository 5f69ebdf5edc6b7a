# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The phases of a run in a report: the page is written by the last play, whose own time only the end of the run knows."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

BEGIN, END = "<!--phases-->", "<!--/phases-->"


def phases_path(page: Path) -> Path:
    return page.with_suffix(".phases.json")


def rows(phases: list[dict]) -> str:
    """Rows of HTML. A phase: `name`, `seconds`, `changed`, `failed`."""
    whole = sum(phase["seconds"] for phase in phases) or 1
    lines = []
    for phase in phases:
        width = max(round(100 * phase["seconds"] / whole), 1)
        failed = f", {phase['failed']} failed" if phase["failed"] else ""
        lines.append(
            f"<tr><td>{escape(phase['name'])}</td><td class=n>{phase['seconds']:.1f} s</td>"
            f'<td class=bar><i style="width:{width}%"></i></td><td>{phase["changed"]} changed{failed}</td></tr>'
        )
    return "\n".join(lines)


def write(page: Path, phases: list[dict]) -> None:
    """Put the phases of the run that ends into the page that it has written, and beside it for the next page."""
    phases_path(page).write_text(json.dumps(phases, indent=1) + "\n")
    text = page.read_text("utf-8")
    page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + rows(phases) + END, text, flags=re.DOTALL), "utf-8")
