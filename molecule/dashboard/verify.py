"""Asked over CloudWatch's API: what the dashboard shows."""

from __future__ import annotations

import json

from tests.acceptance.system import only


def names(account) -> list[str]:
    return [one["DashboardName"] for one in account.client("cloudwatch").list_dashboards()["DashboardEntries"]]


def widgets(account) -> list[dict]:
    return json.loads(account.client("cloudwatch").get_dashboard(DashboardName="shop")["DashboardBody"])["widgets"]


def test_there_is_none_unless_asked(defaults):
    assert names(defaults) == ["shop"], "only the other environment's"


def test_what_is_shown(altered):
    balancer = altered.load_balancer()["LoadBalancerArn"].partition(":loadbalancer/")[2]
    shown = [one["properties"] for one in widgets(altered) if one["type"] == "metric"]
    first = {tuple(one["metrics"][0][:4]) for one in shown}
    assert first == {
        ("AWS/ApplicationELB", "RequestCount", "LoadBalancer", balancer),
        ("AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", balancer),
        ("AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", altered.target_group()["TargetGroupArn"].rpartition(":")[2]),
        ("AWS/EC2", "CPUUtilization", "AutoScalingGroupName", "shop-asg"),
        ("AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", "shop-postgres"),
        ("AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", "shop-postgres"),
    }
    assert {one["region"] for one in shown} == {"us-west-2"}


def test_no_widget_covers_another(altered):
    taken = [
        (x, y)
        for one in widgets(altered)
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


def test_widgets_of_ones_own(altered):
    assert only([one for one in widgets(altered) if one["type"] == "text"], "text")["properties"]["markdown"] == "Our shop"


def test_gone(account):
    assert not names(account)
