# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells the module which run of Ansible asks: the module's own process is gone a moment later."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase
from ansible_collections.espalier.aws.plugins.module_utils.runs import describe


class ActionModule(ActionBase):
    """The worker's parent is ansible-playbook itself."""

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "run": describe(os.getppid())}
        return self._execute_module("espalier.aws.deploy_lock", module_args=arguments, task_vars=task_vars)
