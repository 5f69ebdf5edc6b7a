#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: check_inputs
short_description: Find misspelt variables and impossible values before anything is changed
version_added: 0.1.0
description:
  - Reads defaults and argument specs of all roles of a folder, puts the variables of inventory and command line over them, and returns
    everything that cannot be meant, all at once.
  - A variable that begins with a role's name or with one of O(prefixes) and that nothing reads is misspelt; so is one that is nearly the
    same as a known name.
  - A value is checked against the argument spec of its role, then by O(checks).
  - An action plugin. Asks no service, changes nothing and never fails for a finding.
options:
  roles_path:
    description: Folder of the roles.
    type: path
    required: true
  readers:
    description: Files and folders (playbooks, roles) whose text is searched for variables with one of O(prefixes).
    type: list
    elements: path
    default: []
  prefixes:
    description: Beginnings of variables that are shared by all roles.
    type: list
    elements: str
    default: []
  playbook_variables:
    description:
      - Folder of variable files that playbooks load. An inventory's value of a variable in them would be without effect, and is found.
    type: path
  own_variables:
    description: Variables that are accepted although nothing reads them.
    type: list
    elements: str
    default: []
  checks:
    description:
      - Rows of a table; C(check) is a function of the collection's C(plugin_utils/input_checks.py), the other keys are its arguments.
      - An argument that is a string, or a list or dictionary of strings, names variables; a number is itself.
    type: list
    elements: dict
    default: []
  later_checks:
    description: A table for a later check, such as M(espalier.aws.check_with_aws); the values of the variables that it names are returned.
    type: list
    elements: dict
    default: []
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- name: Look at the inputs
  espalier.aws.check_inputs:
    roles_path: "{{ playbook_dir }}/../roles"
    checks:
      - check: ordered
        values: [autoscaling_min_size, autoscaling_max_size]
  register: inputs
"""

RETURN = r"""
findings:
  description: What is wrong. Never holds the value of an option with C(no_log).
  returned: always
  type: list
  elements: dict
  contains:
    variable:
      description: What has to be set.
      type: str
    value:
      description: What it is now; for a misspelt variable, where it was set.
      type: raw
    problem:
      description: What is wrong with it.
      type: str
    fix:
      description: What to do.
      type: str
values:
  description: Effective values of the variables that O(later_checks) names; null where one is not set or cannot be known yet.
  returned: always
  type: dict
"""
