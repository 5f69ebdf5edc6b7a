#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: role_inputs
short_description: Read inputs of roles as the roles will see them
version_added: 0.2.0
description:
  - Returns the values of variables as roles will see them, with the roles' own defaults below the inventory's values, without running a
    role.
  - An action plugin. Asks no service and changes nothing.
options:
  roles_path:
    description: Folder of the roles.
    type: path
    required: true
  names:
    description: The variables. One that neither a role nor anybody else has is left out of the answer.
    type: list
    elements: str
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- name: Read which machines there will be
  espalier.aws.role_inputs:
    roles_path: "{{ playbook_dir }}/../roles"
    names: [autoscaling_instance_type, autoscaling_max_size]
  register: inputs
"""

RETURN = r"""
values:
  description: Value of each variable by its name, with the type that its role gives it.
  returned: success
  type: dict
  sample: {autoscaling_instance_type: t2.micro, autoscaling_max_size: 3}
"""
