"""CloudWatch's alarms: which state follows from what was measured, and what a change of state does.

- a new alarm is in INSUFFICIENT_DATA; one that is put again keeps its state
- state follows from the last EvaluationPeriods periods, DatapointsToAlarm of which must breach; TreatMissingData as AWS says
- statistics, percentiles, and metric math of + - * / comparisons, IF and FILL
- a change of state, also by SetAlarmState, is published to the SNS topics among the actions
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import ast
import json
import logging
import operator
from collections.abc import Callable
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends
from moto.sns import sns_backends

from lab.api.series import Series
from lab.settings import SETTINGS

log = logging.getLogger("cloudwatch")

BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.USub: operator.neg,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
REGION_NAME = "US East (N. Virginia)"


def backend() -> CloudWatchBackend:
    """CloudWatch of the lab's one account and region."""
    return cloudwatch_backends[SETTINGS.account_id][SETTINGS.region]


# --- from measurements to a state


def evaluate(alarm: Alarm, series: Series) -> tuple[str, str] | None:
    """State and reason as they should be now; None where the state stays what it is."""
    periods = int(alarm.evaluation_periods)
    needed = int(alarm.datapoints_to_alarm or periods)
    points = points_of(alarm, series, periods)
    missing = alarm.treat_missing_data or "missing"
    present = [point for point in points if point is not None]
    if not present and missing in ("missing", "ignore"):
        return None if missing == "ignore" else ("INSUFFICIENT_DATA", f"Insufficient Data: {periods} datapoints were unknown.")
    breaches = BREACHES[alarm.comparison_operator]
    breaching = sum(breaches(point, float(alarm.threshold)) for point in present)
    if missing == "breaching":
        breaching += len(points) - len(present)
    if missing == "ignore" and breaching < needed and len(present) < periods:
        return None
    state = "ALARM" if breaching >= needed else "OK"
    words = f"{breaching} out of the last {periods} datapoints {[round(point, 3) for point in present]} breached"
    return state, f"Threshold Crossed: {words} the threshold ({alarm.comparison_operator} {float(alarm.threshold):g})."


def points_of(alarm: Alarm, series: Series, count: int) -> list[float | None]:
    """The last periods of what the alarm watches, the newest first."""
    if not alarm.metric_data_queries:
        dimensions = {dimension.name: dimension.value for dimension in alarm.dimensions}
        statistic = alarm.statistic or alarm.extended_statistic
        return series.points(alarm.namespace, alarm.metric_name, dimensions, int(alarm.period), count, statistic)
    queries = {query.id: query for query in alarm.metric_data_queries}
    measured = {}
    for name, query in queries.items():
        if query.metric_stat:
            metric, stat = query.metric_stat.metric, query.metric_stat
            dimensions = {dimension.name: dimension.value for dimension in metric.dimensions}
            measured[name] = series.points(metric.namespace, metric.metric_name, dimensions, int(stat.period), count, stat.stat)
    result = next(query for query in queries.values() if str(query.return_data).lower() not in ("false", "none"))
    return [compute(result.id, queries, {name: points[number] for name, points in measured.items()}) for number in range(count)]


def compute(name: str, queries: dict[str, Any], values: dict[str, float | None]) -> float | None:
    """One query's value in one period; None where something that it needs is missing."""
    if name in values:
        return values[name]
    return _compute(ast.parse(queries[name].expression.strip(), mode="eval").body, queries, values)


def _compute(node: ast.expr, queries: dict[str, Any], values: dict[str, float | None]) -> float | None:
    def of(inner: ast.expr) -> float | None:
        return _compute(inner, queries, values)

    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.Name):
        return compute(node.id, queries, values)
    if isinstance(node, ast.Call) and node.func.id == "FILL":
        found = of(node.args[0])
        return of(node.args[1]) if found is None else found
    if isinstance(node, ast.Call) and node.func.id == "IF":
        decided = of(node.args[0])
        return None if decided is None else of(node.args[1] if decided else node.args[2])
    if isinstance(node, ast.UnaryOp):
        operands, operation = [of(node.operand)], node.op
    elif isinstance(node, ast.BinOp):
        operands, operation = [of(node.left), of(node.right)], node.op
    elif isinstance(node, ast.Compare):
        operands, operation = [of(node.left), of(node.comparators[0])], node.ops[0]
    else:
        raise ValueError(f"the lab's metric math does not know {ast.unparse(node)}")
    if None in operands:
        return None
    try:
        return float(OPERATORS[type(operation)](*operands))
    except ZeroDivisionError:
        # AWS gives no datapoint.
        return None


# --- from a state to what it does


def step(series: Series) -> None:
    """Bring every alarm into the state that follows from what was measured."""
    for alarm in list(backend().alarms.values()):
        if alarm.rule:
            continue
        try:
            found = evaluate(alarm, series)
        except Exception:
            log.exception("alarm %s", alarm.name)
            continue
        if found and found[0] != alarm.state_value:
            alarm.update_state(found[1], "{}", found[0])


def act(alarm: Alarm, before: str) -> None:
    """Tell whoever asked for it that the state has changed."""
    log.info("alarm %s: %s -> %s: %s", alarm.name, before, alarm.state_value, alarm.state_reason)
    actions = {"OK": alarm.ok_actions, "ALARM": alarm.alarm_actions, "INSUFFICIENT_DATA": alarm.insufficient_data_actions}
    if not alarm.actions_enabled:
        return
    for arn in actions[alarm.state_value]:
        if arn.split(":")[2] != "sns":
            # Target tracking looks at its alarms itself.
            continue
        try:
            subject = f'{alarm.state_value}: "{alarm.name}" in {REGION_NAME}'[:100]
            sns_backends[SETTINGS.account_id][SETTINGS.region].publish(json.dumps(message(alarm, before)), arn=arn, subject=subject[:99])
        except Exception as error:
            log.warning("alarm %s cannot notify %s: %s", alarm.name, arn, error)


def message(alarm: Alarm, before: str) -> dict:
    """As CloudWatch words it: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html"""
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": SETTINGS.account_id,
        "AlarmArn": alarm.alarm_arn,
        "Region": REGION_NAME,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": f"{alarm.state_updated_timestamp:%Y-%m-%dT%H:%M:%S.000+0000}",
        "OldStateValue": before,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "Statistic": alarm.statistic,
            "Dimensions": [{"name": dimension.name, "value": dimension.value} for dimension in alarm.dimensions],
            "Period": alarm.period,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm,
            "ComparisonOperator": alarm.comparison_operator,
            "Threshold": alarm.threshold,
            "TreatMissingData": alarm.treat_missing_data,
        },
    }


def install() -> None:
    """Patch moto's alarms."""
    moto_put, moto_update = CloudWatchBackend.put_metric_alarm, Alarm.update_state

    def put_metric_alarm(self, name, *arguments, **options):
        before = self.alarms.get(name)
        alarm = moto_put(self, name, *arguments, **options)
        if before is None:
            alarm.state_value = "INSUFFICIENT_DATA"
        else:
            alarm.state_value, alarm.state_reason, alarm.history = before.state_value, before.state_reason, before.history
            alarm.state_updated_timestamp = before.state_updated_timestamp
        return alarm

    def update_state(self, reason, reason_data, state_value):
        before = self.state_value
        moto_update(self, reason, reason_data, state_value)
        if state_value != before:
            act(self, before)

    CloudWatchBackend.put_metric_alarm, Alarm.update_state = put_metric_alarm, update_state
