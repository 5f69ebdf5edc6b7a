"""The switches of inventories/production, all off: their values, and how the API shows each. The opposite of its checks."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

from tests.acceptance.compute import launch_template_data
from tests.acceptance.network import nat_gateways
from tests.acceptance.production import attributes, buckets, control_plane_logs, endpoint, listeners, parameters, web_acl
from tests.acceptance.system import System, only

# What holds for sessions that name no document.
ACCOUNT_DEFAULT = "SSM-SessionManagerRunShell"

# Within switches that stay on: the web ACL refuses nothing and writes nothing, and every shell of the account is logged.
OTHERWISE = {"waf_logs": False, "waf_count_only": True, "session_manager_account_default": True}

# Without the protections against deletion, which the removal lifts, and without what AWS cannot take back. What is on everywhere, too.
OFF = {
    "load_balancer_zone": "",
    "load_balancer_drop_invalid_headers": False,
    "load_balancer_access_logs": False,
    "waf_enabled": False,
    "vpc_flow_logs": False,
    "vpc_nat_gateway_per_zone": False,
    "database_tls_required": False,
    "database_parameters": {},
    "database_log_exports": [],
    "database_performance_insights": False,
    "database_monitoring_interval_seconds": 0,
    "database_iam_authentication": False,
    "database_backup_region": "",
    "static_bucket_versioning": False,
    "static_bucket_suspend_versioning": True,
    "static_bucket_lifecycle": False,
    "cdn_enabled": False,
    "autoscaling_volume_encrypted": False,
    "suite_session_log_group": "",
    "eks_log_types": [],
    "eks_endpoint_public_access": False,
    "alarms_database": False,
    "alarms_requests": False,
    "alarms_log_retention_days": 30,
    "dashboard_enabled": False,
    "budget_enabled": False,
}


def http(system: System) -> bool:
    found = listeners(system)
    return set(found) == {80} and only(found[80]["DefaultActions"], "action")["Type"] == "forward"


def no_flow_log(system: System) -> bool:
    return not system.client("ec2").describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [system.vpc_id()]}])["FlowLogs"]


def no_lifecycle(system: System) -> bool:
    try:
        return not system.client("s3").get_bucket_lifecycle_configuration(Bucket=buckets(system)[0])["Rules"]
    except ClientError as error:
        return error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"


def session_documents(system: System) -> list[str]:
    found = system.client("ssm").list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"]
    return [one["Name"] for one in found if one["Name"] == ACCOUNT_DEFAULT or one["Name"].startswith(system.prefix)]


def alarms(system: System) -> set[str]:
    found = system.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{system.prefix}-")["MetricAlarms"]
    return {one["AlarmName"].removeprefix(f"{system.prefix}-") for one in found}


def distributions(system: System) -> list[str]:
    listed = system.client("cloudfront").list_distributions()["DistributionList"].get("Items", [])
    return [one["Comment"] for one in listed if one["Comment"].startswith(system.prefix)]


def dashboards(system: System) -> list[str]:
    return [
        one["DashboardName"] for one in system.client("cloudwatch").list_dashboards(DashboardNamePrefix=system.prefix)["DashboardEntries"]
    ]


def retention(system: System) -> int:
    """Of the application's log group, in days."""
    found = system.client("logs").describe_log_groups(logGroupNamePrefix="/aws/ec2/django-app")["logGroups"]
    return only([one for one in found if one["logGroupName"] == "/aws/ec2/django-app"], "log group")["retentionInDays"]


def reads_session_log(system: System) -> bool:
    """Whether the instances may still write there."""
    iam, role = system.client("iam"), f"{system.prefix}-instance-role"
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    return f"/aws/ssm/{system.prefix}-sessions" in str(documents)


# What holds while they are off; on, none of it does.
IS_OFF: dict[str, Callable[[System], bool]] = {
    "HTTPS": http,
    "invalid headers": lambda system: attributes(system)["routing.http.drop_invalid_header_fields.enabled"] == "false",
    "access logs": lambda system: attributes(system)["access_logs.s3.enabled"] == "false",
    "WAF": lambda system: web_acl(system) is None and not system.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"],
    "flow logs": no_flow_log,
    "a NAT gateway in each zone": lambda system: len(nat_gateways(system)) == 1,
    "TLS to the database": lambda system: parameters(system)["rds.force_ssl"] == "0",
    "database parameters": lambda system: not {"log_statement", "log_min_duration_statement"} & parameters(system, Source="user").keys(),
    "log exports": lambda system: not system.database().get("EnabledCloudwatchLogsExports"),
    "Performance Insights": lambda system: not system.database()["PerformanceInsightsEnabled"],
    "enhanced monitoring": lambda system: not system.database().get("MonitoringInterval"),
    "IAM authentication": lambda system: not system.database()["IAMDatabaseAuthenticationEnabled"],
    "a second region for the backups": lambda system: not system.database().get("DBInstanceAutomatedBackupsReplications"),
    "versioning": lambda system: system.client("s3").get_bucket_versioning(Bucket=buckets(system)[0])["Status"] == "Suspended",
    "lifecycle": no_lifecycle,
    "CloudFront": lambda system: not distributions(system),
    "encrypted volumes": lambda system: (
        not [one for one in launch_template_data(system)["BlockDeviceMappings"] if one["Ebs"].get("Encrypted")]
    ),
    "session log": lambda system: not session_documents(system) and not reads_session_log(system),
    "alarms of database and requests": lambda system: alarms(system) == {"cpu-high", "unhealthy-targets"},
    "retention": lambda system: retention(system) == 30,
    "dashboard": lambda system: not dashboards(system),
    "logs of the control plane": lambda system: not control_plane_logs(system),
    "the API server from the internet": lambda system: not endpoint(system)["endpointPublicAccess"],
}
