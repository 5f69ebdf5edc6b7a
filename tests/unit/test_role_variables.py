"""Which variables are misspelt, shadowed or of a wrong type; and that the table of checks names variables that exist."""

from __future__ import annotations

import re

import botocore.loaders
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import aws_checks, check_table
from ansible_collections.espalier.aws.plugins.plugin_utils import input_checks, role_variables

from tests.tree import ROOT, load_yaml

ROLES = role_variables.Roles.load(ROOT / "roles", load_yaml)
TABLE = load_yaml(ROOT / "roles" / "preflight" / "vars" / "main.yml")
PREFIXES = ("suite_", "vpc_", "autoscaling_")
KNOWN = {"suite_region", "vpc_cidr_block", "autoscaling_min_size"}


def misspelt(*names: str, accepted: tuple[str, ...] = ()) -> dict[str, str]:
    findings = role_variables.misspelt(dict.fromkeys(names, role_variables.COMMAND_LINE), KNOWN, PREFIXES, accepted)
    return {found["variable"]: found["fix"] for found in findings}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vpc_cidr", "vpc_cidr_block"),
        ("autoscaling_minsize", "autoscaling_min_size"),
        ("autoscalng_min_size", "autoscaling_min_size"),
        ("suite_regoin", "suite_region"),
    ],
)
def test_misspelt(name, near):
    assert misspelt(name)[name].startswith(f"Did you mean {near}?")


def test_nothing_near():
    assert misspelt("suite_xyzzy")["suite_xyzzy"].startswith("Remove it.")


@pytest.mark.parametrize("name", ["vpc_cidr_block", "ansible_host", "__vpc_x", "my_own_thing", "region"])
def test_others_are_left_alone(name):
    assert misspelt(name) == {}


def test_own_variables_are_accepted():
    assert misspelt("suite_mine", accepted=("suite_mine",)) == {}


def test_shadowed_by_a_playbook():
    given = {"vars/app.yml": {"django_wsgi": "{{ app_wsgi }}"}}
    (found,) = role_variables.shadowed({"django_wsgi": role_variables.INVENTORY}, given)
    assert (found["variable"], "{{ app_wsgi }}" in found["fix"]) == ("django_wsgi", True)
    assert role_variables.shadowed({"django_wsgi": role_variables.COMMAND_LINE}, given) == []


@pytest.mark.parametrize(
    ("value", "spec", "wanted"),
    [
        ("3", {"type": "int"}, 3),
        ("yes", {"type": "bool"}, True),
        (["a"], {"type": "list", "elements": "str"}, ["a"]),
        ("gp2", {"type": "str", "choices": ["gp2", "gp3"]}, "gp2"),
    ],
)
def test_values_as_the_role_sees_them(value, spec, wanted):
    assert role_variables.convert("x", value, spec) == (wanted, [])


@pytest.mark.parametrize(
    ("value", "spec", "word"),
    [
        ("two", {"type": "int", "required": True, "default": 1}, "type int"),
        ("gp9", {"type": "str", "choices": ["gp2", "gp3"]}, "one of: gp2, gp3"),
        ({"odd": 1}, {"type": "dict", "options": {"even": {"type": "int"}}}, "type dict"),
    ],
)
def test_values_of_a_wrong_type(value, spec, word):
    _nothing, (found,) = role_variables.convert("x", value, spec)
    assert word in found["fix"]


def test_a_secret_is_not_shown():
    _nothing, (found,) = role_variables.convert("x", "hunter2", {"type": "int", "no_log": True})
    assert "hunter2" not in str(found)


def test_names_are_read_where_templates_read_them(tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("suite_set: 1\nother: '{{ suite_read }}'\n")
    assert role_variables.words_in_expressions([file], ("suite_",)) == {"suite_read"}
    assert role_variables.words_of([file], ("suite_",)) == {"suite_set", "suite_read"}


@pytest.mark.parametrize(
    ("table", "checks"), [("__preflight_input_checks", input_checks.CHECKS), ("__preflight_aws_checks", aws_checks.CHECKS)]
)
def test_the_table_names_checks_and_variables_that_exist(table, checks):
    """A renamed variable would switch its check off."""
    shared = {name for path in (ROOT / "group_vars").glob("*.yml") for name in load_yaml(path)}
    for row in TABLE[table]:
        assert row["check"] in checks
        unknown = set(check_table.variables(row)) - ROLES.known - shared - {"suite_environment", "suite_account_id"}
        assert not unknown, f"{row['check']}: no role has {sorted(unknown)}"


def shapes(service: str) -> dict:
    """What AWS says about values."""
    return botocore.loaders.create_loader().load_service_model(service, "service-2")["shapes"]


def refused(name: str, value: object) -> list[dict]:
    return role_variables.convert(name, value, ROLES.options[name])[1]


def test_logs_are_kept_as_many_days_as_cloudwatch_offers():
    numbers = re.search(r"Possible values are: ([0-9, and]+)", shapes("logs")["Days"]["documentation"])[1]
    offered = [int(number) for number in re.findall(r"\d+", numbers)]
    found = {name: option.get("choices") for name, option in ROLES.options.items() if name.endswith("_log_retention_days")}
    assert found == dict.fromkeys(found, offered) and len(found) == 6 and len(offered) > 20
    (wrong,) = refused("vpc_flow_log_retention_days", 100)
    assert wrong["value"] == 100 and "one of: 1, 3, 5" in wrong["fix"]


def test_insights_are_kept_as_many_days_as_rds_offers():
    choices = ROLES.options["database_performance_insights_days"]["choices"]
    text = shapes("rds")["CreateDBInstanceMessage"]["members"]["PerformanceInsightsRetentionPeriod"]["documentation"]
    assert "<code>7</code>" in text and "from 1-23" in text and "<code>731</code>" in text
    assert choices == [7, *range(31, 23 * 31 + 1, 31), 731]
    assert refused("database_performance_insights_days", 30) and not refused("database_performance_insights_days", "93")


def test_rule_groups_that_take_no_settings():
    """AWS refuses the others without them, and the role has none."""
    choices = ROLES.options["waf_managed_rule_groups"]["choices"]
    with_settings = {name for name in shapes("wafv2")["ManagedRuleGroupConfig"]["members"] if name.startswith("AWSManagedRules")}
    assert len(with_settings) >= 3 and not with_settings & set(choices)
    assert refused("waf_managed_rule_groups", ["AWSManagedRulesCommonRuleset"])
