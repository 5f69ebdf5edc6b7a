"""Rules of a web ACL from the names of managed rule groups."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.espalier.aws.plugins.filter.managed_rules import managed_rules


def test_groups_are_asked_in_their_order_and_refuse():
    first, second = managed_rules(["A", "B"], {"B": ["SizeRestrictions_BODY"]})
    assert (first["name"], first["priority"], second["name"], second["priority"]) == ("A", 1, "B", 2)
    assert first["override_action"] == second["override_action"] == {"none": {}}
    assert first["statement"]["managed_rule_group_statement"] == {"vendor_name": "AWS", "name": "A"}
    overrides = second["statement"]["managed_rule_group_statement"]["rule_action_overrides"]
    assert overrides == [{"name": "SizeRestrictions_BODY", "action_to_use": {"count": {}}}]


def test_a_first_look_only_counts():
    assert [one["override_action"] for one in managed_rules(["A", "B"], count_only=True)] == [{"count": {}}] * 2


def test_a_misspelt_group_is_said():
    with pytest.raises(AnsibleFilterError, match="rules of C are counted"):
        managed_rules(["A"], {"C": ["X"]})
