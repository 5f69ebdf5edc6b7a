"""What a table of checks says about values, without Ansible and without AWS."""

from __future__ import annotations

import pytest
from ansible_collections.espalier.aws.plugins.module_utils import check_table
from ansible_collections.espalier.aws.plugins.module_utils.check_table import Input
from ansible_collections.espalier.aws.plugins.module_utils.findings import render
from ansible_collections.espalier.aws.plugins.plugin_utils import input_checks

from tests.tree import ROLES, ROOT, load_yaml

ZONES = Input("zones", ["us-east-1a", "us-east-1b"])


def one(findings: list[dict]) -> dict:
    assert len(findings) == 1, findings
    return findings[0]


def network(cidr="10.0.0.0/16", public=("10.0.1.0/24", "10.0.2.0/24"), private=("10.0.10.0/24", "10.0.11.0/24")):
    return input_checks.network(Input("vpc", cidr), [Input("public", list(public)), Input("private", list(private))], ZONES)


def test_the_default_network_is_right():
    assert network() == []


@pytest.mark.parametrize(
    ("cidr", "word"),
    [
        ("10.0.0.0/8", "between /16 and /28"),
        ("10.0.0.1/16", "host bits"),
        ("ten", "no IPv4 network"),
        ("10.0.0.0/33", "no IPv4 network"),
        (None, "no IPv4"),
    ],
)
def test_a_wrong_vpc_block(cidr, word):
    wrong = network(cidr=cidr)[0]
    assert wrong["variable"] == "vpc"
    assert word in wrong["problem"]


@pytest.mark.parametrize(
    ("public", "word"),
    [
        (("10.1.1.0/24", "10.0.2.0/24"), "not inside the VPC's 10.0.0.0/16"),
        (("10.0.1.0/24", "10.0.10.128/25"), "10.0.10.128/25 overlaps 10.0.10.0/24 of private"),
        (("10.0.1.0/24", "10.0.1.0/24"), "10.0.1.0/24 overlaps 10.0.1.0/24."),
        (("10.0.1.0/24",), "1 CIDR blocks for 2 availability zones"),
        (("10.0.1.0/29", "10.0.2.0/24"), "between /16 and /28"),
        (("10.0.1.1/24", "10.0.2.0/24"), "its network is 10.0.1.0/24"),
    ],
)
def test_wrong_subnets(public, word):
    wrong = one(network(public=public))
    assert wrong["variable"] == "public"
    assert word in wrong["problem"]


def environment(name, project="django"):
    return input_checks.environment(Input("suite_environment", name), Input("suite_project", project))


@pytest.mark.parametrize("name", ["lab", "production", "pr-12", "x"])
def test_environments(name):
    assert environment(name) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("Prod", "prod"), ("my_env", "my-env"), ("-x", "x"), ("a--b", "a-b"), ("ä.b", "b"), ("1", "staging"), ("", "staging")],
)
def test_wrong_environments(name, near):
    wrong = one(environment(name))
    assert wrong["variable"] == "suite_environment"
    assert near in wrong["fix"]


def test_a_missing_environment():
    assert one(environment(None))["value"] is None


def names(environment, **kinds):
    account = Input("suite_account_id", "123456789012")
    return input_checks.names(
        Input("suite_environment", environment), account, {kind: Input(f"{kind}_name", name) for kind, name in kinds.items()}
    )


def test_names_of_the_default_environment():
    account = "123456789012"
    good = {
        "bucket": f"lab-django-static-{account}",
        "load_balancer": "lab-django-alb",
        "target_group": "lab-django-tg",
        "db_instance": "lab-django-postgres",
        "database": "postgresDB",
        "database_user": "postgres",
        "parameter": "/DjangoApp/rds_endpoint",
        "secret": "django-db-credentials",
        "log_group": "/aws/ec2/django-app",
        "iam_role": "lab-django-instance-role",
        "topic": "lab-django-alarms",
        "db_subnet_group": "lab-django-db",
        "launch_template": "lab-django-lt",
        "autoscaling_group": "lab-django-asg",
        "security_group": "lab-django-app",
    }
    assert names("lab", **good) == []


def test_an_environment_that_makes_long_names():
    name = "a-very-long-environment-name"
    wrong = one(
        names(name, load_balancer=f"{name}-django-alb", target_group=f"{name}-django-tg", bucket=f"{name}-django-static-123456789012")
    )
    assert wrong["variable"] == "suite_environment"
    assert "(39 characters, at most 32)" in wrong["problem"]
    assert "S3 bucket" not in wrong["problem"], "56 characters are good enough for a bucket"
    assert wrong["fix"] == "Use at most 21 characters in suite_environment."
    shorter = name[:21]
    assert names(shorter, load_balancer=f"{shorter}-django-alb") == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bucket", "Upper"),
        ("bucket", "ab"),
        ("bucket", "under_score"),
        ("bucket", "xn--bucket"),
        ("bucket", "name-s3alias"),
        ("bucket", "b" * 64),
        ("load_balancer", "internal-alb"),
        ("load_balancer", "alb-"),
        ("load_balancer", "dot.ted"),
        ("target_group", "-tg"),
        ("db_instance", "1db"),
        ("db_instance", "a--b"),
        ("db_instance", "a" * 64),
        ("database", "post-gres"),
        ("database_user", "rdsadmin"),
        ("database_user", "pg_x"),
        ("db_subnet_group", "default"),
        ("iam_role", "r" * 65),
        ("parameter", "/aws/x"),
        ("parameter", "/a b"),
        ("log_group", "a:b"),
        ("security_group", "sg-x"),
        ("launch_template", "lt"),
        ("topic", "a.b"),
    ],
)
def test_wrong_names(kind, name):
    wrong = one(names("lab", **{kind: name}))
    assert (wrong["variable"], wrong["value"]) == (f"{kind}_name", name)


@pytest.mark.parametrize(
    ("sizes", "wrong"),
    [((1, 2, 3), []), ((2, 2, 2), []), ((4, 4, 3), ["min", "desired"]), ((3, 2, 3), ["min"]), ((1, 9, 3), ["desired"]), (("x", 2, 3), [])],
)
def test_sizes(sizes, wrong):
    findings = input_checks.ordered([Input(name, value) for name, value in zip(("min", "desired", "max"), sizes, strict=True)])
    assert [found["variable"] for found in findings] == wrong


def test_min_above_max_without_a_desired_number():
    wrong = one(input_checks.ordered([Input("min", 5), Input("max", 3)]))
    assert "max (3)" in wrong["problem"]


def test_a_timeout_below_its_interval():
    assert input_checks.below(Input("timeout", 5), Input("interval", 30)) == []
    assert one(input_checks.below(Input("timeout", 30), Input("interval", 30)))["variable"] == "timeout"


def test_variables_that_mean_one_thing():
    assert input_checks.same([Input("one", 5432), Input("other", 5432), Input("unset", None)]) == []
    wrong = one(input_checks.same([Input("one", 5432), Input("other", 5433)]))
    assert wrong["variable"] == "other"
    assert "one (5432)" in wrong["problem"]


def test_a_list_that_has_to_hold_a_name():
    secret = Input("secret", "key")
    assert input_checks.contains(Input("rights", ["key", "other"]), [secret]) == []
    assert one(input_checks.contains(Input("rights", ["other"]), [secret]))["fix"] == "Add key to rights."


def test_limits():
    assert input_checks.between(Input("days", 7), 0, 35) == []
    assert one(input_checks.between(Input("days", 36), 0, 35))["variable"] == "days"


@pytest.mark.parametrize("address", ["ops@example.com", ["a@b.example", "c+d@b.example"]])
def test_addresses(address):
    assert input_checks.email(Input("mail", address)) == []


@pytest.mark.parametrize(
    "address", [None, "", [], "ops", "ops@localhost", "a b@example.com", "a@b@c.d", "a@-x.de", ["ops@example.com", "x"]]
)
def test_wrong_addresses(address):
    assert one(input_checks.email(Input("mail", address), Input("alarms", True)))["variable"] == "mail"


def test_no_address_is_needed_without_alarms():
    assert input_checks.email(Input("mail", ""), Input("alarms", False)) == []


@pytest.mark.parametrize("path", ["mysite.wsgi:application", "wsgi:app", "a.b.c:x.y"])
def test_wsgi_paths(path):
    assert input_checks.wsgi_path(Input("wsgi", path)) == []


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("mysite.wsgi", "mysite.wsgi:application."),
        ("mysite.wsgi.application", "mysite.wsgi:application."),
        ("mysite/wsgi.py", "mysite.wsgi:application."),
        ("mysite.wsgi:", "mysite.wsgi:application."),
        ("my-site.wsgi:application", "mysite.wsgi:application."),
        ("mysite.class:app", "mysite.wsgi:application."),
        ("", "mysite.wsgi:application."),
        (None, "mysite.wsgi:application."),
    ],
)
def test_wrong_wsgi_paths(path, near):
    assert one(input_checks.wsgi_path(Input("wsgi", path)))["fix"].endswith(near)


@pytest.mark.parametrize(
    ("module", "near"), [("mysite/settings.py", "mysite.settings."), ("my-site.settings", "mysite.settings."), (None, "mysite.settings.")]
)
def test_wrong_settings_modules(module, near):
    assert one(input_checks.dotted_module(Input("settings", module)))["fix"].endswith(near)
    assert input_checks.dotted_module(Input("settings", "mysite.settings.production")) == []


@pytest.mark.parametrize("address", ["https://github.com/a/b.git", "git@github.com:a/b.git", "ssh://git@host/a", "file:///srv/a"])
def test_repositories(address):
    assert input_checks.source(Input("repository", address), Input("path", "")) == []


@pytest.mark.parametrize(
    ("repository", "path", "variable"), [("", "", "path"), ("not a repo", "", "repository"), ("", "/no/such/folder", "path")]
)
def test_wrong_sources(repository, path, variable):
    wrong = one(input_checks.source(Input("repository", repository), Input("path", path)))
    assert variable in wrong["fix"]


@pytest.mark.parametrize("value", [123456789012, "12345", "12345678901x", "", None])
def test_wrong_accounts(value):
    assert one(input_checks.account_id(Input("suite_account_id", value)))["variable"] == "suite_account_id"
    assert input_checks.account_id(Input("suite_account_id", "012345678901")) == []


def test_zones():
    region = Input("suite_region", "us-east-1")
    assert input_checks.zones(ZONES, region) == []
    assert "cannot be in region" in one(input_checks.zones(Input("zones", ["us-east-1a", "eu-west-1a"]), region))["problem"]
    assert "two different" in one(input_checks.zones(Input("zones", ["us-east-1a", "us-east-1a"]), region))["problem"]
    assert "two different" in one(input_checks.zones(Input("zones", ["us-east-1a"]), region))["problem"]


def endpoint(public=True, private=True, blocks=("192.0.2.0/24",), enabled=True):
    values = {"public": public, "private": private, "cidr_blocks": list(blocks), "enabled": enabled}
    return input_checks.endpoint_access(**{name: Input(name, value) for name, value in values.items()})


def test_somebody_reaches_the_api_server():
    assert endpoint() == endpoint(public=False, blocks=()) == endpoint(public=False, private=False, enabled=False) == []
    assert one(endpoint(public=False, private=False))["problem"] == "the API server could be reached from nowhere."
    assert one(endpoint(blocks=()))["variable"] == "cidr_blocks"
    assert "host bits" in one(endpoint(blocks=["192.0.2.1/24"]))["problem"]


@pytest.mark.parametrize("version", ["1.35", "1.40"])
def test_a_kubernetes_version(version):
    assert input_checks.kubernetes_version(Input("eks_version", version)) == []


@pytest.mark.parametrize("version", ["1.3", "v1.35", "1.35.4", "latest", "", None])
def test_no_kubernetes_version(version):
    assert '"1.35"' in one(input_checks.kubernetes_version(Input("eks_version", version)))["fix"]


def test_helm_where_there_is_to_be_a_cluster(monkeypatch):
    monkeypatch.setattr(input_checks.shutil, "which", lambda name: None)
    assert "bin/setup" in one(input_checks.helm(Input("suite_cluster", True)))["fix"]
    assert input_checks.helm(Input("suite_cluster", False)) == []
    monkeypatch.setattr(input_checks.shutil, "which", lambda name: f"/bin/{name}")
    assert input_checks.helm(Input("suite_cluster", True)) == []


def test_a_key_by_its_arn():
    region, key = Input("suite_region", "us-east-1"), "arn:aws:kms:us-east-1:123456789012:key/0-1"
    assert input_checks.kms_key_arn(Input("key", key), region) == input_checks.kms_key_arn(Input("key", ""), region) == []
    for wrong in (key.replace("us-east-1", "eu-west-1"), "alias/mine", key.replace(":key/", ":alias/")):
        assert one(input_checks.kms_key_arn(Input("key", wrong), region))["value"] == wrong


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("cluster", "django-app", "-app"),
        ("node_group", "django-workers", "w" * 64),
        ("repository", "lab-django-app", "Lab"),
        ("kms_alias", "lab-django-eks", "aws/eks"),
        ("waf_log_group", "aws-waf-logs-lab-django", "/aws/waf/lab-django"),
    ],
)
def test_names_of_further_services(kind, good, bad):
    where = {"environment": Input("env", "lab"), "account": Input("account", "123456789012")}
    assert input_checks.names(**where, names={kind: Input("name", good)}) == []
    assert one(input_checks.names(**where, names={kind: Input("name", bad)}))["variable"] == "name"


def test_a_table():
    table = [
        {"check": "between", "value": "days", "least": 0, "most": 35},
        {"check": "ordered", "values": ["min", "max"]},
        {"check": "names", "environment": "env", "account": "account", "names": {"bucket:static": "bucket_name"}},
        {"check": "email", "address": "later"},
    ]
    assert set(check_table.variables(table[2])) == {"env", "account", "bucket_name"}
    values = {"days": 99, "min": 2, "max": 1, "env": "lab", "account": "123456789012", "bucket_name": "X"}
    bound = check_table.bind(table, input_checks.CHECKS, values, unknown={"later"})
    findings = [found for check, arguments in bound for found in check(**arguments)]
    assert [found["variable"] for found in findings] == ["days", "min", "bucket_name"]


def test_the_text_names_variable_value_and_fix():
    text = render(input_checks.ordered([Input("min", 5), Input("max", 3)]) + environment(None))
    assert text.splitlines()[0] == "2 problems found; nothing was changed."
    assert "1. min (5): it is more than max (3)." in text
    assert "2. suite_environment (not set):" in text
    assert text.count("   Fix: Set ") == 2


def test_min_above_all_others_is_one_finding():
    wrong = one(input_checks.ordered([Input("min", 5), Input("desired", 2), Input("max", 3)]))
    assert "desired (2) and max (3)" in wrong["problem"]
    assert wrong["fix"] == "Set min to at most 2, or raise desired and max."


def test_a_table_with_an_unknown_check():
    with pytest.raises(ValueError, match="there is no check nonsense"):
        list(check_table.bind([{"check": "nonsense"}], input_checks.CHECKS, {}))


def host_names(domains, zone="example.com"):
    return input_checks.host_names(Input("domains", domains), Input("zone", zone))


def test_host_names_of_a_zone():
    assert host_names(["example.com", "www.example.com", "*.example.com"]) == []
    assert host_names(["www.other.org"], zone="") == []


@pytest.mark.parametrize(
    ("domains", "word"),
    [
        ([], "no host name would be served"),
        (["www.other.org"], "is not in the zone"),
        (["wwwexample.com"], "is not in the zone"),
        (["https://www.example.com"], "is no host name"),
        (["www.*.example.com"], "is no host name"),
        ([f"{number}.example.com" for number in range(11)], "10 names"),
    ],
)
def test_wrong_host_names(domains, word):
    assert word in one(host_names(domains))["problem"]


@pytest.mark.parametrize(
    ("second", "days", "word"),
    [("", 0, None), ("us-west-2", 7, None), ("Oregon", 7, "no region"), ("us-east-1", 7, "itself"), ("us-west-2", 0, "no backups to copy")],
)
def test_a_second_region(second, days, word):
    found = input_checks.second_region(Input("region", "us-east-1"), Input("second", second), Input("days", days))
    assert word in one(found)["problem"] if word else found == []


@pytest.mark.parametrize(("number", "good"), [(0, True), (10, True), (9, False), (1, False), (2_000_000_001, False)])
def test_a_number_that_may_be_nothing_at_all(number, good):
    found = input_checks.between(Input("waf_rate_limit", number), 10, 2_000_000_000, zero=True)
    assert found == [] if good else "or to 0 for none" in one(found)["fix"]
    assert input_checks.between(Input("x", 0), 1, 2), "0 is no exception elsewhere"


@pytest.mark.parametrize(
    ("actual", "forecast", "word"),
    [
        ([80, 100], [100], None),
        ([50, 80, 100], [80, 100], None),
        ([50, 80, 100], [50, 80, 100], "6 alerts"),
        ([80, 80], [100], "only once"),
        ([0, 80], [], "1 and more"),
    ],
)
def test_alerts_of_a_budget(actual, forecast, word):
    def check(enabled):
        return input_checks.budget_alerts(Input("actual", actual), Input("forecast", forecast), Input("budget_enabled", enabled))

    found = check(True)
    assert word in one(found)["problem"] and one(found)["variable"] == "actual" if word else found == []
    assert check(False) == []


@pytest.mark.parametrize(
    ("backup", "maintenance", "variable", "word"),
    [
        ("03:00-03:30", "sun:04:30-sun:05:30", None, ""),
        ("23:45-00:15", "sun:23:00-sun:23:45", None, ""),
        ("00:15-00:45", "sun:23:45-mon:00:15", None, ""),
        ("03:00-05:00", "sun:04:30-sun:05:30", "backup", "overlaps"),
        ("23:45-00:15", "mon:00:00-mon:01:00", "backup", "overlaps"),
        ("00:00-00:30", "sun:23:45-mon:00:15", "backup", "overlaps"),
        ("12:00-12:30", "mon:00:00-wed:00:00", "backup", "overlaps"),
        ("03:00-03:29", "sun:04:30-sun:05:30", "backup", "half an hour"),
        ("03:00-03:00", "sun:04:30-sun:05:30", "backup", "half an hour"),
        ("3:00-3:30", "sun:04:30-sun:05:30", "backup", "cannot read"),
        ("24:00-24:30", "sun:04:30-sun:05:30", "backup", "cannot read"),
        ("03:00", "sun:04:30-sun:05:30", "backup", "cannot read"),
        ("sun:03:00-sun:03:30", "sun:04:30-sun:05:30", "backup", "cannot read"),
        ("03:00-03:30", "04:30-05:30", "maintenance", "cannot read"),
        ("03:00-03:30", "sunday:04:30-sunday:05:30", "maintenance", "cannot read"),
        ("03:00-03:30", "sun:04:30-sun:04:45", "maintenance", "half an hour"),
    ],
)
def test_windows_of_a_database(backup, maintenance, variable, word):
    found = input_checks.database_windows(Input("backup", backup), Input("maintenance", maintenance))
    assert [one["variable"] for one in found] == ([variable] if variable else [])
    assert not variable or word in one(found)["problem"]


@pytest.mark.parametrize("tags", [["all"], ["app", "data"], ["always"], ["tagged"]])
def test_tags_of_a_run(tags):
    assert input_checks.known_tags(Input("tags", tags), Input("known", ["data", "app"])) == []


def test_a_tag_that_names_nothing():
    wrong = one(input_checks.known_tags(Input("tags", ["app", "netwrk", "untagged"]), Input("known", ["app", "network"])))
    assert (wrong["variable"], wrong["value"]) == ("--tags", "app,netwrk,untagged")
    assert "netwrk, untagged" in wrong["problem"] and "Did you mean network? There are app, network; " in wrong["fix"]


def test_a_name_that_the_suite_would_not_find():
    prefix, names = (
        Input("suite_name_prefix", "lab-django"),
        {"alb": Input("load_balancer_name", "lab-django-alb"), "asg": Input("b", None)},
    )
    assert input_checks.found_by_name(prefix, names) == []
    wrong = one(input_checks.found_by_name(prefix, names | {"postgres": Input("database_identifier", "shop")}))
    assert wrong["variable"] == "database_identifier" and "lab-django-postgres" in wrong["problem"]


def test_the_names_that_the_suite_finds_are_the_roles_own():
    table = load_yaml(ROOT / "roles" / "preflight" / "vars" / "main.yml")["__preflight_input_checks"]
    (names,) = [row["names"] for row in table if row["check"] == "found_by_name"]
    defaults = {name: value for role in ROLES for name, value in (load_yaml(ROOT / "roles" / role / "defaults" / "main.yml") or {}).items()}
    assert {variable: defaults[variable] for variable in names.values()} == {
        variable: f"{{{{ suite_name_prefix }}}}-{end}" for end, variable in names.items()
    }


@pytest.mark.parametrize(
    ("size", "storage_class", "driver", "enabled", "refused"),
    [
        (20, "", False, True, True),
        (20, "", True, True, False),
        (20, "fast", False, True, False),
        (0, "", False, True, False),
        (20, "", False, False, False),
    ],
)
def test_a_volume_has_a_driver(size, storage_class, driver, enabled, refused):
    findings = input_checks.storage_driver(
        Input("monitoring_storage_gib", size),
        Input("monitoring_storage_class", storage_class),
        Input("eks_storage", driver),
        Input("suite_cluster", enabled),
    )
    assert [found["variable"] for found in findings] == (["monitoring_storage_gib"] if refused else [])
    assert all("eks_storage" in found["fix"] and "monitoring_storage_class" in found["fix"] for found in findings)
