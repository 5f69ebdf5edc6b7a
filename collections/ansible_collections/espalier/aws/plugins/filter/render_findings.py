# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: render_findings
short_description: Findings of several checks as one text
version_added: 0.1.0
description:
  - Numbers the findings of M(espalier.aws.check_inputs), M(espalier.aws.account_guard) and M(espalier.aws.check_with_aws), each with the
    variable, its value, what is wrong and what to set.
options:
  _input:
    description: The findings.
    type: list
    elements: dict
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.fail:
    msg: "{{ inputs.findings | espalier.aws.render_findings }}"
  when: inputs.findings | length > 0
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

from ansible_collections.espalier.aws.plugins.module_utils.findings import render


class FilterModule:
    def filters(self):
        return {"render_findings": render}
