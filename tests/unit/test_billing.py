"""The monthly bill: seed's defaults cost what its list says and what it leaves out, and every option saves what it says."""

from __future__ import annotations

import pytest
from ansible_collections.espalier.aws.plugins.filter.cost_table import cost_table
from ansible_collections.espalier.aws.plugins.filter.monthly_cost import monthly_cost
from ansible_collections.espalier.aws.plugins.module_utils import billing

from bin import docs
from tests.tree import ROOT, load_yaml

TABLE = load_yaml(ROOT / "playbooks" / "vars" / "prices.yml")
PRICES = TABLE["prices"]
VALUES = docs.seed_inputs()
USAGE = load_yaml(ROOT / "group_vars" / "suite.yml")["suite_cost_usage"]


def bill(**changed) -> dict:
    return monthly_cost({**VALUES, **changed}, PRICES, USAGE)


def test_every_price_says_where_it_is_from():
    for name, price in PRICES.items():
        assert price["dollars"] > 0 and price["unit"], name
        assert price["page"] in TABLE["prices_pages"] and price["seen"] in TABLE["prices_seen"], name
    assert "memory" not in TABLE["prices_seen"]


def test_the_seed_s_list():
    """Each of its numbers is what its own rows cost, give or take its rounding."""
    parts = bill()["parts"]
    assert sum(TABLE["prices_seed"].values()) == 167
    lines = {(line["part"], line["what"]): line["dollars"] for line in bill()["lines"]}
    assert lines["Instances", "2 x t2.micro"] == pytest.approx(16.94, abs=0.01)
    assert lines["Database", "db.t3.micro, Multi-AZ"] == pytest.approx(26.28, abs=0.01)
    assert parts["Load balancer"] == pytest.approx(22.27, abs=0.01)
    assert lines["NAT gateways", "2 running"] == pytest.approx(65.70, abs=0.01)
    # The seed counts one zone.
    assert lines["VPC endpoints", "endpoints times zones"] / 2 == pytest.approx(21.90, abs=0.01)


def test_the_real_bill_of_the_seed_s_defaults():
    parts = {part: round(dollars, 2) for part, dollars in bill()["parts"].items()}
    assert parts["Public addresses"] == round(5 * 730 * 0.005, 2)
    assert parts["Database"] == round(2 * 730 * 0.018 + 2 * 100 * 0.115, 2)
    # The first 100 GB to the internet are free, and the seed takes 55.
    assert "Data transfer" not in parts
    assert "Cluster" not in parts
    assert bill()["total"] == pytest.approx(sum(parts.values()), abs=0.05)


def test_the_cluster():
    parts = bill(suite_cluster=True)["parts"]
    assert parts["Cluster"] == pytest.approx(73 + 2 * 730 * 0.0416 + 2 * 20 * 0.08)
    # The ingress makes a load balancer of its own.
    assert parts["Load balancer"] > bill()["parts"]["Load balancer"] + 16
    assert parts["Public addresses"] == pytest.approx(7 * 3.65)


@pytest.mark.parametrize("entry", bill(suite_cluster=True)["savings"], ids=lambda entry: entry["option"])
def test_an_option_saves_what_it_says(entry):
    saved = bill(suite_cluster=True)["total"] - bill(**{"suite_cluster": True, **entry["set"]})["total"]
    assert saved == pytest.approx(entry["dollars"]) and saved > 0


def test_savings_of_the_seed():
    saved = {entry["option"]: entry["dollars"] for entry in bill()["savings"]}
    assert saved["one NAT gateway"] == pytest.approx(32.85 + 3.65)
    assert saved["no VPC endpoints"] == pytest.approx(43.80 + 0.01)
    assert "no cluster" not in saved


def test_a_size_without_a_price_is_said_and_not_free():
    found = bill(autoscaling_instance_type="x9.huge")
    assert found["unpriced"] == ["ec2 x9.huge"]
    assert any("x9.huge" in line and "suite_cost_prices" in line for line in cost_table(found))


FOUND = {
    **billing.EMPTY,
    "machines": [billing.machine("Instances", "t2.micro", 3, "gp3", 8), billing.machine("Bastion", "t2.micro", 1, "gp3", 8)],
    "database": {"class": "db.t3.micro", "multi_az": True, "storage_type": "gp2", "storage_gib": 100.0},
    "load_balancers": 1,
    "load_balancer_zones": 2,
    "nat_gateways": 2,
    "public_machines": 1,
    "endpoints": {"ssm": 2, "ssmmessages": 2, "ec2messages": 2},
    "secrets": 3,
    "alarms": 4,
}


def test_what_scaling_did_stays_and_costs_nothing_more():
    found = monthly_cost(VALUES, PRICES, USAGE, FOUND)
    assert found["differences"] == []
    assert found["before"]["total"] == found["after"]["total"]


def test_a_change_of_the_inventory_has_a_price():
    found = monthly_cost({**VALUES, "vpc_nat_gateway_per_zone": False}, PRICES, USAGE, FOUND)
    assert [row["part"] for row in found["differences"]] == ["NAT gateways", "Public addresses"]
    assert found["before"]["total"] - found["after"]["total"] == pytest.approx(36.5)


def test_an_empty_account_costs_nothing():
    found = monthly_cost(VALUES, PRICES, USAGE, billing.EMPTY)
    assert found["before"]["total"] == 0
    assert found["after"]["total"] == pytest.approx(bill()["total"])


def test_more_than_the_maximum_is_taken_back():
    many = {**FOUND, "machines": [billing.machine("Instances", "t2.micro", 9, "gp3", 8), FOUND["machines"][1]]}
    lines = monthly_cost(VALUES, PRICES, USAGE, many)["after"]["lines"]
    assert "3 x t2.micro" in [line["what"] for line in lines]


def test_production_s_improvements():
    improved = bill(
        vpc_flow_logs=True, waf_enabled=True, waf_managed_rule_groups=["a", "b", "c"], alarms_database=True, alarms_requests=True
    )
    assert improved["parts"]["WAF"] == pytest.approx(5 + 4 + 0.6)
    # Of the two on requests, one has three metrics, and one has two. Ten are free, and no flow log is.
    assert improved["parts"]["CloudWatch"] == pytest.approx((2 + 2 + 3 + 3 + 2 - 10) * 0.10 + 2 * 0.50)


CLUSTER = {"suite_cluster": True, "eks_encrypt_secrets": True, "eks_node_min_size": 1, "eks_node_max_size": 4}
# As billed_info counts it: a node more than the group was made with, and the key of its secrets.
FOUND_CLUSTER = {
    **FOUND,
    "machines": [*FOUND["machines"], billing.machine("Cluster", "t3.medium", 3, "gp3", 20)],
    "load_balancers": 2,
    "load_balancer_zones": 4,
    "clusters": 1,
    "keys": 1,
}


def test_nodes_that_scaling_made_stay_and_cost_nothing_more():
    found = monthly_cost({**VALUES, **CLUSTER}, PRICES, USAGE, FOUND_CLUSTER)
    assert found["differences"] == []
    few = monthly_cost({**VALUES, **CLUSTER, "eks_node_max_size": 2}, PRICES, USAGE, FOUND_CLUSTER)
    assert [row["part"] for row in few["differences"]] == ["Cluster"]


def test_a_cluster_that_is_switched_off_stays_and_is_billed():
    """Its nodes, its key and the load balancer of its ingress, too."""
    found = monthly_cost({**VALUES, **CLUSTER, "suite_cluster": False}, PRICES, USAGE, FOUND_CLUSTER)
    assert found["differences"] == []
    assert found["before"]["parts"]["Cluster"] == found["after"]["parts"]["Cluster"] > 73


@pytest.mark.parametrize("services", [[], ["ssm"]])
def test_an_endpoint_that_is_asked_no_more_stays_and_is_billed(services):
    found = monthly_cost({**VALUES, "vpc_endpoints_services": services}, PRICES, USAGE, FOUND)
    assert found["differences"] == []


def test_another_endpoint_comes_on_top():
    services = [*VALUES["vpc_endpoints_services"][:2], "ecr.api"]
    (row,) = monthly_cost({**VALUES, "vpc_endpoints_services": services}, PRICES, USAGE, FOUND)["differences"]
    assert (row["part"], row["after"] - row["before"]) == ("VPC endpoints", pytest.approx(2 * 730 * 0.01))


def test_machines_that_no_role_makes_stay_and_are_billed():
    more = {**FOUND, "machines": [*FOUND["machines"], billing.machine("Other machines", "t3.large", 1, "gp3", 30)]}
    assert monthly_cost(VALUES, PRICES, USAGE, more)["differences"] == []


def test_what_aws_gives_every_account_is_taken_off():
    """Ten alarms' metrics, and 5 GB of logs, written and kept."""
    assert "CloudWatch" not in bill()["parts"]
    many = monthly_cost(VALUES, PRICES, {**USAGE, "log_gib": 100}, {**FOUND, "alarms": 12})["after"]["lines"]
    assert {line["what"]: line["quantity"] for line in many if line["part"] == "CloudWatch"} == {
        "alarms, a metric each, beyond the free ones": 2,
        "logs, written, beyond the first 5 GB": 95,
        "logs, kept, beyond 5 GB": pytest.approx(10),
    }


def test_the_secrets_are_those_that_the_role_makes():
    assert len(load_yaml(ROOT / "roles" / "secrets" / "vars" / "main.yml")["__secrets_wanted"]) == billing.SECRETS


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("__alarms_of_the_group", billing.ALARMS),
        ("__alarms_of_the_database", billing.ALARMS_OF_THE_DATABASE),
        ("__alarms_of_requests", billing.ALARMS_OF_REQUESTS),
    ],
)
def test_the_alarms_are_those_that_the_role_makes(name, metrics):
    wanted = load_yaml(ROOT / "roles" / "alarms" / "vars" / "main.yml")[name]
    assert sum(sum("MetricStat" in one for one in alarm.get("Metrics", [])) or 1 for alarm in wanted) == metrics


def inventory(name: str) -> dict:
    """What an inventory sets itself."""
    files = sorted((ROOT / "inventories" / name / "group_vars" / "all").glob("[1-9]*.yml"))
    return {key: value for path in files for key, value in load_yaml(path).items()}


def budget(values: dict) -> dict:
    return {name: values[f"budget_{name}"] for name in ("enabled", "amount_usd", "actual_percents")}


def test_a_budget_does_not_send_its_e_mail_every_month():
    """Neither production's nor the default."""
    for name, values in (
        ("production", {**VALUES, "suite_cluster": True, **inventory("production")}),
        ("default", {**VALUES, "suite_cluster": True, "budget_enabled": True}),
    ):
        found = monthly_cost(values, PRICES, USAGE)
        assert values["budget_enabled"], name
        assert not [line for line in cost_table(found, budget=budget(values)) if "budget" in line], (name, found["total"])


def test_a_budget_that_would_is_named():
    estimate = bill()
    given = {"enabled": True, "amount_usd": 250, "actual_percents": [80, 100]}
    (line,) = [line for line in cost_table(estimate, budget=given) if "budget" in line]
    assert (
        "budget_amount_usd: 250" in line
        and "80 percent, 200.00 dollars" in line
        and f"{int(estimate['total'] / 0.8) + 1} would not" in line
    )
    assert not [line for line in cost_table(estimate, budget={**given, "enabled": False}) if "budget" in line]


def test_the_differences_to_the_seed_are_explained():
    why = TABLE["prices_seed_why"]
    estimate = bill()
    assert set(why) == {*estimate["parts"], *TABLE["prices_seed"]}
    lines = cost_table(estimate, TABLE["prices_seed"], why)
    assert all(f"    {part}: {text}" in lines for part, text in why.items())
