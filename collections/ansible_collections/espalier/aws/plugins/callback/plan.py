# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a run in check mode with the table of what it would do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan
type: aggregate
short_description: End a run in check mode with what it would create, change, replace or remove
description:
  - Gathers what the tasks of a run with C(--check) say they would change into one table, with what visitors feel of it and what it does to
    the monthly bill. Without C(--check) it says nothing.
  - Writes the same as JSON to the file that the environment variable C(ESPALIER_PLAN_PATH) names. C(bin/plan.py) does that, and turns it
    into an exit code.
  - Reads options and diffs of results, of which tasks with C(no_log) have none; such a task is named by its own name.
author:
  - The Espalier authors
"""

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase
from ansible_collections.espalier.aws.plugins.plugin_utils import plan

COST = ("before", "after", "differences", "prices_date")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "espalier.aws.plan"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._changes: list[plan.Change] = []
        self._errors: list[dict] = []
        self._stack: dict = {}
        self._check_mode = False

    def v2_playbook_on_play_start(self, play):
        self._check_mode = bool(play.check_mode)

    def v2_runner_on_ok(self, result):
        # Of a loop, each item has come by itself.
        if "results" not in result.result or not result.task.loop:
            self._note(result)

    def v2_runner_item_on_ok(self, result):
        self._note(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            message = str(result.result.get("msg") or "failed")
            self._errors.append({"task": result.task.get_name().strip(), "host": result.host.get_name(), "message": message})

    def v2_runner_on_unreachable(self, result):
        self.v2_runner_on_failed(result)

    def v2_playbook_on_stats(self, stats):
        if not self._check_mode:
            return
        # What a rescue has mended is no error, and what it failed with is the last one.
        failed = any(stats.failures.get(host) or stats.dark.get(host) for host in stats.processed)
        cost = stats.custom.get("_run", {}).get("plan_cost")
        made = plan.make(self._changes, self._errors if failed else [], cost and {key: cost[key] for key in COST})
        path = os.environ.get("ESPALIER_PLAN_PATH")
        if path:
            Path(path).write_text(json.dumps({**made, "text": plan.render(made)}), "utf-8")
        self._display.banner("PLAN")
        self._display.display(plan.render(made))

    def _note(self, result):
        answer, module = result.result, result.task.action.rpartition(".")[2]
        if module == "stack_info":
            self._stack = answer
        # A task that runs in check mode, too, has done what it says.
        elif answer.get("changed") and result.task.check_mode is not False:
            self._changes += self._rows(result, answer, module)

    def _rows(self, result, answer: dict, module: str) -> list[plan.Change]:
        task, host = result.task.get_name().strip(), result.host.get_name()
        role = result.task._role.get_name() if result.task._role else ""
        name = task.removeprefix(f"{role} : ")
        if host != "localhost":
            return [plan.Change("change", "instances", role or name, role, name, [name], hosts=[host])]
        options = (answer.get("invocation") or {}).get("module_args") or {}
        return plan.changes_of(module, options, answer, self._stack, role, name, str(answer.get("_ansible_item_label") or ""))
