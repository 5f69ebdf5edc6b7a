"""How an environment is: what stack_status reads from moto, the report that is made of it, and its screen."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser

import pytest
from ansible_collections.espalier.aws.plugins.filter.report_page import report_page
from ansible_collections.espalier.aws.plugins.filter.status_report import status_report
from ansible_collections.espalier.aws.plugins.filter.status_screen import ago, status_screen
from ansible_collections.espalier.aws.plugins.module_utils import report_phases, stack_status
from ansible_collections.espalier.aws.plugins.module_utils.stack import application_url
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.ssm.responses import SimpleSystemManagerResponse

from lab.api import ssm
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

NOW = "2026-03-01T12:00:00+00:00"


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """moto imports a service at its first call; the readers' threads would import them all at once and lock each other out."""
    for service in ("sts", *stack_status.SERVICES):
        get_backend(service)


@pytest.fixture
def today(monkeypatch, capsys):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    # moto has no DescribeInstanceInformation.
    with patched(ssm, SimpleSystemManagerResponse):
        yield lambda: run_module(capsys, "stack_status", project="django", environment="lab")


def test_an_empty_account_is_no_error(today):
    answer = today()
    assert answer["machines"] == answer["alarms"] == answer["subscriptions"] == answer["activities"] == answer["certificates"] == []
    assert answer["backups"] is None and answer["agents"] == {} and answer["changed"] is False


def test_what_there_is_is_told_and_a_neighbour_s_is_not(today):
    topic = client("sns").create_topic(Name="lab-django-alarms")["TopicArn"]
    client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    for name, state in (("lab-django-a", "OK"), ("lab-django-b", "ALARM"), ("staging-django-c", "ALARM")):
        common = {"Namespace": "n", "MetricName": "m", "Period": 60, "Statistic": "Average", "EvaluationPeriods": 1, "Threshold": 1}
        client("cloudwatch").put_metric_alarm(AlarmName=name, ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic], **common)
        client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="so it is")
    tags = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}, {"Key": "Role", "Value": "app"}]
    client("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )
    client("rds").create_db_instance(
        DBInstanceIdentifier="lab-django-postgres", Engine="postgres", DBInstanceClass="db.t3.micro", AllocatedStorage=20,
        MasterUsername="postgres", MasterUserPassword="correct-horse-7", BackupRetentionPeriod=7,
    )  # fmt: skip
    client("rds").create_db_snapshot(DBInstanceIdentifier="lab-django-postgres", DBSnapshotIdentifier="by-hand")
    client("cloudwatch").disable_alarm_actions(AlarmNames=["lab-django-a"])
    answer = today()
    assert [(one["name"], one["state"], one["actions"], one["muted"]) for one in answer["alarms"]] == [
        ("lab-django-b", "ALARM", True, False),
        ("lab-django-a", "OK", True, True),
    ]
    assert [(one["endpoint"], one["pending"]) for one in answer["subscriptions"]] == [("ops@example.com", False)]
    assert [(one["role"], one["state"]) for one in answer["machines"]] == [("app", "running")]
    assert "by-hand" in [one["name"] for one in answer["backups"]["snapshots"]] and answer["backups"]["retention_days"] == 7


def test_a_subscription_that_nobody_confirmed_is_pending():
    found = [{"Protocol": "email", "Endpoint": "a@b", "SubscriptionArn": "PendingConfirmation"}]
    assert stack_status.subscriptions(found) == [{"protocol": "email", "endpoint": "a@b", "pending": True}]


@pytest.fixture
def found() -> dict:
    stack = {
        "account_id": "123456789012",
        "region": "us-east-1",
        "load_balancer": {"dns_name": "lab-alb.example.com"},
        "listeners": [{"protocol": "HTTP", "port": 80}],
        "autoscaling_group": {
            "name": "lab-django-asg", "min_size": 1, "max_size": 3, "desired_capacity": 2, "suspended_processes": [],
            "instances": [{"id": name, "lifecycle_state": "InService", "availability_zone": "us-east-1a"} for name in ("i-a", "i-b")],
        },
        "target_group": {"targets": [{"id": name, "state": "healthy", "reason": None, "description": None} for name in ("i-a", "i-b")]},
        "database": {
            "identifier": "lab-django-postgres", "status": "available", "engine_version": "16.4", "address": "db",
            "multi_az": True, "encrypted": False,
        },
        "cluster": {"name": "django-app", "status": "ACTIVE", "version": "1.35"},
        "node_group": {"name": "workers", "status": "ACTIVE", "min_size": 1, "desired_size": 2, "max_size": 3},
    }  # fmt: skip
    machine = {
        "role": "app",
        "state": "running",
        "zone": "us-east-1a",
        "type": "t2.micro",
        "address": "10.0.10.4",
        "launched": "2026-03-01T10:00:00+00:00",
    }
    status = {
        "machines": [{"id": "i-a", **machine}, {"id": "i-b", **machine}],
        "agents": {"i-a": "Online", "i-b": "Online"},
        "backups": {
            "retention_days": 7,
            "restorable_to": "2026-03-01T11:56:00+00:00",
            "snapshots": [
                {"name": "half", "status": "creating", "at": None},
                {"name": "nightly", "status": "available", "at": "2026-03-01T03:00:00+00:00"},
            ],
        },
        "alarms": [{"name": "lab-django-cpu-high", "state": "OK", "since": NOW, "reason": "", "actions": True}],
        "subscriptions": [{"protocol": "email", "endpoint": "ops@example.com", "pending": False}],
        "certificates": [],
        "activities": [],
    }
    entry = {
        "at": "2026-03-01T11:00:00Z",
        "what": "deploy",
        "from": "",
        "to": "v2",
        "result": "succeeded",
        "who": "arn:aws:iam::1:user/ada",
    }
    return {"stack": stack, "status": status, "releases": {"current": "v2", "last_good": "v1", "log": [entry], "lock": {}}}


def report(found: dict) -> dict:
    return status_report(found["stack"], found["status"], found["releases"], environment="lab", now=NOW)


def test_a_sound_system_has_no_troubles_and_fits_on_a_screen(found):
    told = report(found)
    assert told["troubles"] == [] and told["url"] == "http://lab-alb.example.com"
    assert told["last_backup"] == {
        "name": "nightly", "at": "2026-03-01T03:00:00+00:00", "age_seconds": 9 * 3600,
        "restorable_to": "2026-03-01T11:56:00+00:00", "restorable_age_seconds": 240, "retention_days": 7,
    }  # fmt: skip
    lines = status_screen(told)
    assert lines[-1] == "All is well." and len(lines) < 24 and max(map(len, lines)) < 120
    screen = "\n".join(lines)
    for words in (
        "v2; last deploy of v2 succeeded 1 h ago, by user/ada",
        "nightly, 9 h ago",
        "up to 4 min ago",
        "2 wanted (1 to 3)",
        "django-app ACTIVE, Kubernetes 1.35, 2 nodes wanted (1 to 3)",
        "ops@example.com",
    ):
        assert words in screen, screen


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda f: f["stack"]["target_group"]["targets"][0].update(state="unhealthy", reason="Target.Timeout"),
            "i-a is unhealthy: Target.Timeout",
        ),
        (lambda f: f["stack"]["target_group"]["targets"].clear(), "No instance is healthy"),
        (lambda f: f["stack"]["database"].update(status="stopped"), "The database is stopped"),
        (lambda f: f["stack"].update(database=None), "There is no database"),
        (lambda f: f["stack"]["cluster"].update(status="FAILED"), "The cluster is FAILED"),
        (lambda f: f["stack"]["node_group"].update(status="DEGRADED"), "node group is DEGRADED"),
        (lambda f: f["stack"].update(load_balancer=None), "There is no load balancer"),
        (lambda f: f["status"]["alarms"][0].update(state="ALARM", reason="too hot"), "cpu-high rings: too hot"),
        (lambda f: f["status"]["subscriptions"][0].update(pending=True), "has not confirmed"),
        (lambda f: f["stack"]["autoscaling_group"].update(suspended_processes=["Launch"]), "Launch are suspended"),
        (lambda f: f["releases"].update(lock={"what": "deploy", "owner": "ada", "since": "then"}), "A deploy of ada"),
        (lambda f: f["releases"]["log"][0].update(result="failed"), "The last deploy failed"),
    ],
)
def test_each_trouble_is_told(found, change, words):
    change(found)
    told = report(found)
    assert [trouble for trouble in told["troubles"] if words in trouble], told["troubles"]
    assert any(words in line for line in status_screen(told))


def test_the_address_with_https_is_a_name_that_the_certificate_can_be_for(found):
    """As docs/production.md sets it up: a zone and app_domains, no suite_app_url."""
    stack, domains = found["stack"], [".example.com", "www.example.com", "example.com"]
    assert application_url(stack, "", domains) == "http://lab-alb.example.com"
    stack["listeners"].append({"protocol": "HTTPS", "port": 443})
    assert application_url(stack, "", domains) == "https://www.example.com"
    assert status_report(stack, found["status"], domains=domains)["url"] == "https://www.example.com"
    assert application_url(stack, "", [".example.com"]) == "https://lab-alb.example.com"
    assert application_url(stack, "https://shop.example.com", domains) == "https://shop.example.com"
    assert application_url({**stack, "load_balancer": None}, "https://shop.example.com", domains) == ""


def refuse(*_):
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListSubscriptionsByTopic")


def test_what_may_not_be_looked_at_is_named_and_the_rest_told(today, monkeypatch):
    readers = [refuse if reader is stack_status.read_subscriptions else reader for reader in stack_status.READERS]
    monkeypatch.setattr(refuse, "__name__", "read_subscriptions")
    monkeypatch.setattr(stack_status, "READERS", readers)
    answer = today()
    assert "AccessDenied" in answer["unknown"]["subscriptions"] and "subscriptions" not in answer
    assert answer["alarms"] == [] and not answer.get("failed")


def test_nothing_is_said_of_what_could_not_be_seen(found):
    unknown = {"load_balancer": "AccessDenied", "database": "timed out", "releases": "away"}
    stack = {key: value for key, value in found["stack"].items() if key not in ("load_balancer", "listeners", "target_group", "database")}
    told = status_report(stack, {"unknown": {}}, {}, environment="lab", unknown=unknown, now=NOW)
    assert told["troubles"] == [f"Not looked at: {name}: {unknown[name]}" for name in ("database", "load_balancer", "releases")]
    assert status_screen(told) and report_page(told) and told["url"] is None
    assert status_report(stack, {}, url="https://shop.example.com")["url"] == "https://shop.example.com"


def test_a_machine_that_only_the_load_balancer_knows_is_told_as_gone(found):
    lost = copy.deepcopy(found)
    lost["status"]["machines"].pop()
    lost["stack"]["autoscaling_group"]["instances"].pop()
    row = report(lost)["instances"][1]
    assert (row["id"], row["state"], row["lifecycle"], row["target"]) == ("i-b", "gone", "not in the group", "healthy")


def test_before_the_first_deploy_and_on_an_empty_account(found):
    found["releases"] = {}
    assert "never deployed" in "\n".join(status_screen(report(found)))
    nothing = {
        "stack": {
            **found["stack"],
            "load_balancer": None,
            "listeners": [],
            "autoscaling_group": None,
            "target_group": None,
            "database": None,
            "cluster": None,
            "node_group": None,
        },
        "status": {key: type(value)() for key, value in found["status"].items()} | {"backups": None},
        "releases": {},
    }
    assert "There is no load balancer." in report(nothing)["troubles"] and status_screen(report(nothing))


@pytest.mark.parametrize(("seconds", "words"), [(None, "-"), (-3, "0 s"), (59, "59 s"), (90, "1 min"), (7200, "2 h"), (200000, "2 d")])
def test_ages_are_short(seconds, words):
    assert ago(seconds) == words


# The page


def page_of(found: dict, **more) -> str:
    releases = [{"version": "v2", "made_at": NOW, "made_by": "arn:aws:iam::1:user/ada"}]
    return report_page(report(found), releases=releases, outputs={"app_url": "http://x", "instances": ["i-a", "i-b"]}, **more)


class Page(HTMLParser):
    """Every opened element, and what it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]


def test_the_page_is_one_file_and_shows_each_machine_s_health(found):
    found["stack"]["target_group"]["targets"][0].update(state="unhealthy", reason="Target.Timeout")
    text = page_of(found, phases=[{"name": "Network", "seconds": 3.0, "changed": 2, "failed": 0}], costs={"all": 167})
    page = Page(text)
    assert "svg" in page.elements and not page.loads and not {"script", "link", "img", "iframe"} & set(page.elements)
    assert "url(" not in text and "@import" not in text
    picture = text[text.index("<svg") : text.index("</svg>")]
    for part in ("i-a", "i-b", "Load balancer", "PostgreSQL", "EKS django-app", 'class="bad"', "1 of 2 targets healthy"):
        assert part in picture, part
    for words in ("i-a is unhealthy: Target.Timeout", "Network", "3.0 s", "167.00", "user/ada", "current", "http://x", "i-a, i-b"):
        assert words in text, words


def test_a_page_without_phases_says_why_until_a_run_completes_it(found, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(page_of(found))
    assert "was not run from here" in page.read_text()
    report_phases.write(page, [{"name": "Network", "seconds": 3.0, "changed": 2, "failed": 0}])
    assert "was not run from here" not in page.read_text() and "Network" in page.read_text()


def test_the_picture_shows_where_each_part_is_and_what_leads_where(found):
    """Ways in and out and the bastion are public; visitors reach the instances by one load balancer, and the cluster by its ingress's."""
    found["stack"]["nat_gateways"] = [
        {"id": f"nat-{zone}", "state": "available", "availability_zone": f"us-east-1{zone}", "public_ip": None} for zone in "ab"
    ]
    bastion = {**found["status"]["machines"][0], "id": "i-bastion", "role": "bastion"}
    found["status"]["machines"].append(bastion)
    found["status"]["agents"]["i-bastion"] = "Online"
    picture = report_page(report(found), outputs={"kubernetes_app_url": "http://k8s.example.com"})
    picture = picture[picture.index("<svg") : picture.index("</svg>")]
    boxes = {
        name: (int(x), int(y))
        for x, y, name in re.findall(r'<rect class="\w+" x="(\d+)" y="(\d+)"[^>]*/><text [^>]*>([^<]*)</text>', picture)
    }
    columns = {x: [name for name, (left, _) in boxes.items() if left == x] for x in (20, 360, 700)}
    assert columns == {
        20: ["Load balancer", "Load balancer of the ingress", "2 NAT gateways", "Bastion"],
        360: ["i-a", "i-b", "EKS django-app"],
        700: ["PostgreSQL"],
    }
    assert "http://k8s.example.com" in picture and "us-east-1a, us-east-1b" in picture
    edges = {(x, y + 27): name for name, (x, y) in boxes.items()} | {(x + 240, y + 27): name for name, (x, y) in boxes.items()}
    ways = {
        (edges[int(x1), int(y1)], edges[int(x2), int(y2)])
        for x1, y1, x2, y2 in re.findall(r'd="M(\d+) (\d+) C [^"]* (\d+) (\d+)"', picture)
    }
    private = ("i-a", "i-b", "EKS django-app")
    assert ways == {
        ("Load balancer", "i-a"),
        ("Load balancer", "i-b"),
        ("Load balancer of the ingress", "EKS django-app"),
        *((name, "PostgreSQL") for name in private),
    }
    height = int(re.search(r'viewBox="0 0 960 (\d+)"', picture)[1])
    assert all(y + 54 < height for _, y in boxes.values())


def test_nothing_of_the_account_becomes_markup(found):
    found["status"]["alarms"][0]["reason"] = "<script>alert(1)</script>"
    assert "<script" not in page_of(found)


def test_an_empty_account_has_a_page():
    nothing = {
        "stack": dict.fromkeys(("load_balancer", "autoscaling_group", "target_group", "database", "cluster", "node_group"))
        | {"account_id": "1", "region": "r", "listeners": []},
        "status": {"machines": [], "agents": {}, "backups": None, "alarms": [], "subscriptions": [], "certificates": [], "activities": []},
        "releases": {},
    }
    assert "There is no load balancer." in report_page(report(nothing))


def test_the_end_of_a_run_completes_the_page_and_keeps_its_phases(found, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_of(found, phases=[{"name": "of before", "seconds": 1.0, "changed": 0, "failed": 0}]))
    phases = [{"name": "Django & co", "seconds": 12.5, "changed": 4, "failed": 1}]
    report_phases.write(path, phases)
    text = path.read_text()
    assert "Django &amp; co" in text and "12.5 s" in text and "1 failed" in text and "of before" not in text
    assert json.loads(report_phases.phases_path(path).read_text()) == phases
