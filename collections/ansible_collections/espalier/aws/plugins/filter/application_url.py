# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a browser reaches the application."""

from __future__ import annotations

DOCUMENTATION = r"""
name: application_url
short_description: Where a browser reaches the application
version_added: 0.3.0
description:
  - The inventory's own address where it names one. Otherwise the first domain where the load balancer speaks HTTPS, since no certificate is
    for the load balancer's own name, and the load balancer's name where it does not.
options:
  _input:
    description: What M(espalier.aws.stack_info) answers.
    type: dict
    required: true
  url:
    description: The inventory's own address; empty for none.
    type: str
    default: ""
  domains:
    description: Host names that visitors use. V(.example.com) means every name below it, and is no name itself.
    type: list
    elements: str
    default: []
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ stack | espalier.aws.application_url(suite_app_url, app_domains) }}"
"""

RETURN = r"""
_value:
  description: The address; empty where there is no load balancer.
  type: str
"""

from ansible_collections.espalier.aws.plugins.module_utils.stack import application_url


class FilterModule:
    def filters(self):
        return {"application_url": application_url}
