# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documented in plugins/modules/role_inputs.py."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.espalier.aws.plugins.plugin_utils import role_variables

SPEC = {"roles_path": {"type": "path", "required": True}, "names": {"type": "list", "elements": "str", "required": True}}


class ActionModule(ActionBase):
    """Runs on the controller, since only there role defaults can be read and templated with everybody's variables."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(SPEC)
        roles = role_variables.Roles.load(
            Path(options["roles_path"]), lambda path: self._loader.load_from_file(str(path), trusted_as_template=True)
        )
        variables = {**roles.defaults, **task_vars}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        values = {}
        for name in options["names"]:
            if name not in variables:
                continue
            value = templar.template(variables[name])
            if name in roles.options:
                value, wrong = role_variables.convert(name, value, roles.options[name])
                if wrong:
                    raise AnsibleActionFail(f"{name}: {wrong[0]['problem']} {wrong[0]['fix']}")
            values[name] = value
        return {"changed": False, "values": values}
