# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a run with what changed, how long each phase took and where the result is reachable."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: End a run with its phases, changes and outputs
description:
  - Prints, after the recap, one line for each play with its seconds and its number of changed and failed tasks.
  - Prints the values that a play handed over with M(ansible.builtin.set_stats) under the key C(summary).
  - Names each right that AWS says was missing.
  - Adds the phases to a report that a play has written, and whose path it handed over under the key C(report).
  - Shows other results only by number, so nothing that a task hides with C(no_log) can appear.
  - Is silent after plays with the variable C(screen_only), which only tell something.
author:
  - The Espalier authors
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from ansible.plugins.callback import CallbackBase
from ansible_collections.espalier.aws.plugins.module_utils import report_phases

# AWS's words where a policy does not allow something: the action and, mostly, the resource.
REFUSED = re.compile(r"not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?")


@dataclass
class Phase:
    """One play: when it started and ended (monotonic seconds) and what its tasks did."""

    name: str
    started: float
    ended: float = 0.0
    changed: int = 0
    failed: int = 0


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "espalier.aws.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._refused: dict[str, str] = {}
        self._phases: list[Phase] = []
        self._check_mode = False
        self._silent = False

    def v2_playbook_on_play_start(self, play):
        now = time.monotonic()
        if self._phases:
            self._phases[-1].ended = now
        self._phases.append(Phase(play.get_name(), now))
        self._check_mode = bool(play.check_mode)
        self._silent = bool(play.get_vars().get("screen_only"))

    def v2_runner_on_ok(self, result):
        if result.result.get("changed", False):
            self._phases[-1].changed += 1

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._phases[-1].failed += 1
            for found in REFUSED.finditer(str(result.result.get("msg", ""))):
                self._refused[found["action"]] = found["resource"] or "some resource"

    def v2_runner_on_unreachable(self, result):
        self._phases[-1].failed += 1

    def v2_playbook_on_stats(self, stats):
        if not self._phases or self._silent:
            return
        self._phases[-1].ended = time.monotonic()
        verb = "would change" if self._check_mode else "changed"
        self._display.banner("SUMMARY")
        for phase in self._phases:
            failed = f", {phase.failed} failed" if phase.failed else ""
            self._display.display(f"{phase.ended - phase.started:7.1f} s  {phase.name}: {phase.changed} {verb}{failed}")
        total = self._phases[-1].ended - self._phases[0].started
        changed = sum(phase.changed for phase in self._phases)
        self._display.display(f"{total:7.1f} s  in all: {changed} {verb}")
        handed_over = stats.custom.get("_run", {})
        self._complete_report(handed_over.get("report", ""))
        for key, value in handed_over.get("summary", {}).items():
            text = ", ".join(value) if isinstance(value, list) else value
            self._display.display(f"{key.replace('_', ' '):>18}: {text}")
        for action, resource in self._refused.items():
            self._display.display(
                f"Missing right: {action} on {resource}. An administrator's playbooks/deployment_role.yml gives it (docs/rights.md)."
            )
        if any(phase.failed for phase in self._phases):
            self._display.display("The run stopped at the error above. Mend what it names and run the same command again: it continues.")

    def _complete_report(self, path):
        phases = [
            {"name": phase.name, "seconds": round(phase.ended - phase.started, 1), "changed": phase.changed, "failed": phase.failed}
            for phase in self._phases
        ]
        if path and not self._check_mode:
            try:
                report_phases.write(Path(path), phases)
            except OSError as error:
                self._display.warning(f"the report {path} lacks the phases of this run: {error}")
