# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows how far an instance refresh is while the module waits for it: a module itself can say nothing before its end."""

from __future__ import annotations

import time

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.espalier.aws.plugins.modules import instance_refresh

MODULE = "espalier.aws.instance_refresh"


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments, shown, changed = dict(self._task.args), "", False
        waits = boolean(arguments.get("wait", instance_refresh.SPEC["wait"]["default"]))
        pause = float(arguments.get("poll_seconds", instance_refresh.SPEC["poll_seconds"]["default"]))
        while True:
            result = self._execute_module(MODULE, module_args={**arguments, "wait": False}, task_vars=task_vars)
            changed = changed or bool(result.get("changed"))
            if result.get("summary") and result["summary"] != shown and result.get("refresh"):
                shown = result["summary"]
                Display().display(f"{time.strftime('%H:%M:%S')} {arguments.get('name')}: {shown}")
            if result.get("failed") or result.get("finished", True) or not waits:
                return {**result, "changed": changed}
            arguments["refresh_id"] = result["refresh"]["instance_refresh_id"]
            time.sleep(pause)
