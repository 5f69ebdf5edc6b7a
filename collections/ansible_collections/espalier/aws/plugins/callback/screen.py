# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible's own output, and for plays that only tell something: what they tell, and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
name: screen
type: stdout
short_description: Ansible's default output, without the steps where a play only tells something
description:
  - Prints what P(ansible.builtin.default#callback) prints.
  - A play with the variable C(screen_only) prints nothing but its failures, and at the end the lines that it handed over with
    M(ansible.builtin.set_stats) under the key C(screen). So a report is one screen, and JSON can be piped on.
  - With C(-v) everything is printed.
author:
  - The Espalier authors
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

from ansible.plugins.callback.default import CallbackModule as Default

# Of the default's methods, those that print what is no failure.
STEPS = (
    "v2_playbook_on_include",
    "v2_playbook_on_no_hosts_matched",
    "v2_playbook_on_no_hosts_remaining",
    "v2_runner_on_ok",
    "v2_runner_on_skipped",
    "v2_runner_on_start",
    "v2_runner_item_on_ok",
    "v2_runner_item_on_skipped",
    "v2_runner_retry",
    "v2_on_file_diff",
)


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "espalier.aws.screen"

    def __init__(self):
        super().__init__()
        self._only = False

    def v2_playbook_on_play_start(self, play):
        self._only = bool(play.get_vars().get("screen_only")) and not self._display.verbosity
        # A failure's banner needs it.
        self._play = play
        if not self._only:
            super().v2_playbook_on_play_start(play)

    def _task_start(self, task, prefix=None):
        if not self._only:
            super()._task_start(task, prefix)
            return
        self._task_type_cache[task._uuid] = prefix
        self._last_task_name = task.get_name().strip()

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not (self._only and ignore_errors):
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result):
        if not (self._only and result.task.ignore_unreachable):
            super().v2_runner_on_unreachable(result)

    def v2_playbook_on_stats(self, stats):
        if not self._only:
            super().v2_playbook_on_stats(stats)
        for line in stats.custom.get("_run", {}).get("screen", []):
            self._display.display(line)


def _unless_only(name):
    def step(self, *arguments, **options):
        if not self._only:
            getattr(Default, name)(self, *arguments, **options)

    return step


for _name in STEPS:
    setattr(CallbackModule, _name, _unless_only(_name))
