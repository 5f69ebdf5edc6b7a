# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documented in plugins/modules/check_inputs.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.espalier.aws.plugins.module_utils import check_table
from ansible_collections.espalier.aws.plugins.plugin_utils import input_checks, role_variables

SPEC = {
    "roles_path": {"type": "path", "required": True},
    "readers": {"type": "list", "elements": "path", "default": []},
    "prefixes": {"type": "list", "elements": "str", "default": []},
    "playbook_variables": {"type": "path"},
    "own_variables": {"type": "list", "elements": "str", "default": []},
    "checks": {"type": "list", "elements": "dict", "default": []},
    "later_checks": {"type": "list", "elements": "dict", "default": []},
}


class ActionModule(ActionBase):
    """Runs on the controller, since only there role defaults can be read and templated with everybody's variables."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(SPEC)
        roles = role_variables.Roles.load(Path(options["roles_path"]), self._read)
        inventory = self._inventory_files(task_vars)
        origins = self._origins(inventory, task_vars)
        findings = self._misspelt(roles, origins, inventory, options)
        findings += role_variables.shadowed(origins, self._playbook_variables(options["playbook_variables"]))
        later = {name for row in options["later_checks"] for name in check_table.variables(row)}
        wanted = {name for row in options["checks"] for name in check_table.variables(row)} | later
        values, unknown, wrong = self._values(roles, wanted | (roles.options.keys() & origins.keys()), origins, task_vars)
        findings += wrong
        for check, arguments in check_table.bind(options["checks"], input_checks.CHECKS, values, unknown):
            findings += check(**arguments)
        return {"changed": False, "findings": findings, "values": {name: values.get(name) for name in sorted(later)}}

    def _read(self, path: Path) -> Any:
        return self._loader.load_from_file(str(path), trusted_as_template=True)

    def _inventory_files(self, task_vars: dict) -> list[Path]:
        folders = [
            Path(source) if Path(source).is_dir() else Path(source).parent for source in task_vars.get("ansible_inventory_sources") or []
        ]
        return sorted({path for folder in folders if folder.is_dir() for path in role_variables.files_below([folder])})

    def _origins(self, inventory: list[Path], task_vars: dict) -> dict[str, str]:
        """Every variable that the play sees or that the inventory sets for any host, and where it was set."""
        origins = dict.fromkeys(task_vars, role_variables.INVENTORY)
        for path in inventory:
            if {"group_vars", "host_vars"} & set(path.parts) and path.suffix in (".yml", ".yaml", ".json"):
                content = self._read(path)
                if isinstance(content, dict):
                    origins |= dict.fromkeys(content, f"set in {path}")
        return origins | dict.fromkeys(load_extra_vars(self._loader), role_variables.COMMAND_LINE)

    def _playbook_variables(self, folder: str | None) -> dict[str, dict]:
        return {str(path): self._read(path) for path in sorted(Path(folder).glob("*.yml"))} if folder else {}

    def _misspelt(self, roles: role_variables.Roles, origins: dict[str, str], inventory: list[Path], options: dict) -> list[dict]:
        shared = tuple(options["prefixes"])
        known = set(roles.known)
        if shared:
            known |= role_variables.words_of(role_variables.files_below(map(Path, options["readers"])), shared)
            known |= role_variables.words_in_expressions(inventory, shared)
        prefixes = shared + tuple(f"{name}_" for name in roles.names)
        return role_variables.misspelt(origins, known, prefixes, options["own_variables"])

    def _values(self, roles, names: set[str], origins: dict, task_vars: dict) -> tuple[dict[str, Any], set[str], list[dict]]:
        """Effective values as the roles will see them; names of those that only a later play can work out; wrong types."""
        values, unknown, findings = {}, set(), []
        variables = {**roles.defaults, **task_vars}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        for name in sorted(names & variables.keys()):
            try:
                value = templar.template(variables[name])
            except AnsibleError:
                unknown.add(name)
                continue
            if name in roles.options:
                value, wrong = role_variables.convert(name, value, roles.options[name])
                if wrong:
                    unknown.add(name)
                    findings += wrong if name in origins else []
                    continue
            values[name] = value
        return values, unknown, findings
