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
  - A command of the suite that a message names, as the fix of a finding or as the next step, names the inventory of this run
    where that is not the default, so that it can be copied and does not meet another environment.
author:
  - The Espalier authors
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ansible import constants, context
from ansible.plugins.callback.default import CallbackModule as Default

PLAYBOOK = re.compile(r"ansible-playbook (?=site\.yml|playbooks/)")
# Of these, `plan` takes options of ansible-playbook, and the others a folder of inventories/.
MAKE = re.compile(r"make (logs|shell|dbshell|tunnel|plan)\b")

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


def for_inventory(text: str, sources: Sequence[str], default: Sequence[str]) -> str:
    """The text with `-i` in each command of the suite, or what its `make` takes instead; as it is for the default inventory.

    `sources` and `default`: paths, as Ansible's --inventory and its configuration name them.
    """
    here = [str(Path(source).resolve()) for source in sources]
    if not here or here == [str(Path(source).resolve()) for source in default]:
        return text
    shown = [os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path for path in here]
    options = " ".join(f"-i {path}" for path in shown)
    text = PLAYBOOK.sub(f"ansible-playbook {options} ", text)
    if len(shown) != 1 or Path(shown[0]).parent != Path("inventories"):
        return text
    environment = f"ENV={Path(shown[0]).name}"
    return MAKE.sub(lambda found: f"{found[0]} OPTIONS='{options}'" if found[1] == "plan" else f"{found[0]} {environment}", text)


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
            self._display.display(self._here(line))

    def _dump_results(self, *arguments, **options):
        return self._here(super()._dump_results(*arguments, **options))

    def _here(self, text):
        return for_inventory(text, context.CLIARGS.get("inventory") or [], constants.DEFAULT_HOST_LIST)


def _unless_only(name):
    def step(self, *arguments, **options):
        if not self._only:
            getattr(Default, name)(self, *arguments, **options)

    return step


for _name in STEPS:
    setattr(CallbackModule, _name, _unless_only(_name))
