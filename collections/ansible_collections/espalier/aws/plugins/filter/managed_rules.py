# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of a web ACL from the names of managed rule groups."""

from __future__ import annotations

DOCUMENTATION = r"""
name: managed_rules
short_description: Rules of a web ACL that ask managed rule groups of AWS WAF
version_added: 0.2.0
description:
  - Makes the option O(community.aws.wafv2_web_acl#module:rules) out of the groups' names. Their priorities begin with 1, so that one
    rule may stand before them.
  - Every field that AWS answers is named, since the module compares rules whole.
options:
  _input:
    description: Names of rule groups of AWS, in the order in which they are asked.
    type: list
    elements: str
    required: true
  counted:
    description: Names of rules that only count, by the group's name.
    type: dict
    default: {}
  count_only:
    description: Only count whatever these groups would refuse.
    type: bool
    default: false
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ groups | espalier.aws.managed_rules(counted={'AWSManagedRulesCommonRuleSet': ['SizeRestrictions_BODY']}) }}"
  vars:
    groups: [AWSManagedRulesCommonRuleSet, AWSManagedRulesSQLiRuleSet]
"""

RETURN = r"""
_value:
  description: The rules.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError


def managed_rules(groups: list[str], counted: dict[str, list[str]] | None = None, count_only: bool = False) -> list[dict]:
    counted = counted or {}
    strangers = sorted(set(counted) - set(groups))
    if strangers:
        raise AnsibleFilterError(f"managed_rules: rules of {', '.join(strangers)} are counted, and the web ACL does not ask that group")
    return [rule(name, priority, counted.get(name, []), count_only) for priority, name in enumerate(groups, start=1)]


def rule(name: str, priority: int, counted: list[str], count_only: bool) -> dict:
    statement: dict = {"vendor_name": "AWS", "name": name}
    if counted:
        statement["rule_action_overrides"] = [{"name": one, "action_to_use": {"count": {}}} for one in counted]
    return {
        "name": name,
        "priority": priority,
        "override_action": {"count" if count_only else "none": {}},
        "statement": {"managed_rule_group_statement": statement},
        "visibility_config": {"sampled_requests_enabled": True, "cloud_watch_metrics_enabled": True, "metric_name": name},
    }


class FilterModule:
    def filters(self):
        return {"managed_rules": managed_rules}
