"""Troubles of docs/runbooks: the lab is broken that way, doctor.yml names the cause and the fix, and exactly that fix mends it.

Stands on a built system with a deployed release, and leaves one behind. The group's replacement of unhealthy instances is suspended
where it would mend the trouble before anybody could look at it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.steps import await_page, nothing_changed, succeeded
from tests.printed import call, commands
from tests.rehearse.diagnosis import ANSIBLE, await_mended, await_named, diagnose, named, problems
from tests.rehearse.drifts import OWN, delete_an_alarm, delete_an_endpoint, raise_the_maximum
from tests.rehearse.test_release_faults import small_disk

HEALING = ["HealthCheck", "ReplaceUnhealthy"]


@dataclass
class Trouble:
    """`breaks(system)` returns `that`, `finding` are words of what the doctor then says and `fix` of what it advises.

    What it advises is done: `aws ...` of `fix`, which may name `{that}`, then what a hand does by `mends(system, that)`, then site.yml with
    `options`.
    """

    breaks: Callable[[System], object]
    finding: str
    fix: str
    options: str = ""
    mends: Callable[[System, object], None] | None = None
    # Suspend the group's healing meanwhile; the doctor says that, too.
    keep: bool = False


def first(system: System) -> str:
    return app.instance_ids(system)[0]


def on(system: System, *command: str) -> str:
    return app.output(system, first(system), *command)


def revoke(role: str, direction: str = "ingress", port: int | None = None) -> Callable[[System], None]:
    def act(system: System) -> None:
        group = system.security_group(role)
        permissions = group["IpPermissions" if direction == "ingress" else "IpPermissionsEgress"]
        chosen = [one for one in permissions if port is None or one.get("FromPort") == port]
        assert chosen, f"{role} has no such rule"
        getattr(system.client("ec2"), f"revoke_security_group_{direction}")(GroupId=group["GroupId"], IpPermissions=chosen)

    return act


def suspend(*processes: str) -> Callable[[System], str]:
    def act(system: System) -> str:
        system.client("autoscaling").suspend_processes(AutoScalingGroupName=f"{system.prefix}-asg", ScalingProcesses=list(processes))
        return f"{system.prefix}-asg"

    return act


def mask(system: System) -> str:
    """systemd itself masks no unit whose file is in /etc."""
    stop = "systemctl stop gunicorn.socket gunicorn.service"
    on(system, "sh", "-c", f"{stop}; ln -sf /dev/null /etc/systemd/system/gunicorn.socket; systemctl daemon-reload")
    return first(system)


def unmask(system: System, instance: object) -> None:
    app.output(system, str(instance), "systemctl", "unmask", "gunicorn.socket")


def deregister(system: System) -> None:
    arn = system.target_group()["TargetGroupArn"]
    system.client("elbv2").deregister_targets(TargetGroupArn=arn, Targets=[{"Id": first(system)}])


def stop_database(system: System) -> str:
    name = system.database()["DBInstanceIdentifier"]
    system.client("rds").stop_db_instance(DBInstanceIdentifier=name)
    return name


def await_database(system: System, _: object) -> None:
    deadline = time.monotonic() + 120
    while system.database()["DBInstanceStatus"] != "available" and time.monotonic() < deadline:
        time.sleep(1)


def wrong_address(system: System) -> None:
    system.client("ssm").put_parameter(Name="/DjangoApp/rds_endpoint", Value="old.example.internal", Overwrite=True)


def delete_policy(system: System) -> None:
    system.client("autoscaling").delete_policy(AutoScalingGroupName=f"{system.prefix}-asg", PolicyName=f"{system.prefix}-cpu")


def stop_agent(system: System) -> str:
    on(system, "systemctl", "stop", "amazon-ssm-agent.service")
    return first(system)


def lose_pointer(system: System) -> None:
    system.client("ssm").put_parameter(Name="/DjangoApp/release", Value="gone", Overwrite=True)


def delete_secret(system: System) -> None:
    system.client("secretsmanager").delete_secret(SecretId="django-secret-key", RecoveryWindowInDays=7)


def change_nginx(system: System) -> None:
    on(system, "sh", "-c", "echo '# by hand' >> /etc/nginx/nginx.conf")


def break_gunicorn(system: System) -> None:
    """A setting that Gunicorn refuses, in its unit."""
    edit = "sed -i 's/--workers [0-9]*/--workers three/' /etc/systemd/system/gunicorn.service"
    on(system, "sh", "-euc", f"{edit}; systemctl daemon-reload; systemctl restart --no-block gunicorn.service")


def fill_disk(system: System) -> contextlib.ExitStack:
    """One of its own, so that this machine's stays as it is."""
    disk = contextlib.ExitStack()
    disk.enter_context(small_disk(first(system), "/srv/django-app/releases"))
    return disk


def deregister_image(system: System) -> None:
    ec2 = system.client("ec2")
    version = ec2.describe_launch_template_versions(LaunchTemplateName=f"{system.prefix}-lt", Versions=["$Latest"])
    ec2.deregister_image(ImageId=version["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def detach_target_group(system: System) -> None:
    arns = [system.target_group()["TargetGroupArn"]]
    system.client("autoscaling").detach_load_balancer_target_groups(AutoScalingGroupName=f"{system.prefix}-asg", TargetGroupARNs=arns)


def delete_listener(system: System) -> None:
    client, arn = system.client("elbv2"), system.load_balancer()["LoadBalancerArn"]
    for listener in client.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
        client.delete_listener(ListenerArn=listener["ListenerArn"])


def change_password(system: System) -> None:
    """The application's user gets another one than its secret says, and the connections that it has are cut."""
    statements = (
        # It works as the owner of the tables, which has no password.
        "SET ROLE NONE",
        "ALTER USER SESSION_USER PASSWORD 'changed-by-hand'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = SESSION_USER AND pid <> pg_backend_pid()",
    )
    code = f"from django.db import connection; cursor = connection.cursor(); [cursor.execute(one) for one in {statements!r}]"
    on(system, "/srv/django-app/current/manage", "shell", "-c", code)


def take_rights(system: System) -> None:
    role = f"{system.prefix}-instance-role"
    system.client("iam").delete_role_policy(RoleName=role, PolicyName=role)


def take_role(system: System) -> None:
    name = f"{system.prefix}-instance-role"
    system.client("iam").remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)


def narrow(system: System) -> None:
    system.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=f"{system.prefix}-asg", MinSize=2, MaxSize=2)


def mute_alarm(system: System) -> str:
    system.client("cloudwatch").disable_alarm_actions(AlarmNames=[f"{system.prefix}-cpu-high"])
    return f"{system.prefix}-cpu-high"


def take_actions(system: System) -> None:
    client, name = system.client("cloudwatch"), f"{system.prefix}-cpu-high"
    alarm = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    taken = client.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    client.put_metric_alarm(**{key: alarm[key] for key in taken if alarm.get(key)} | {"AlarmActions": []})


RESUME = "aws autoscaling resume-processes --auto-scaling-group-name {that} --scaling-processes "
# The pages mark these causes as rehearsed: tests/lint/test_runbooks.py compares.
TROUBLES = {
    "gunicorn is masked": Trouble(mask, "gunicorn.socket is masked", "unmask", "--tags app", mends=unmask, keep=True),
    "gunicorn has a bad setting": Trouble(
        break_gunicorn, "gunicorn.service is activating. Its last words: gunicorn: error: argument", "--tags app", "--tags app", keep=True
    ),
    "nginx is stopped": Trouble(
        lambda system: on(system, "systemctl", "stop", "nginx.service"), "nginx.service is inactive", "--tags app", "--tags app", keep=True
    ),
    "a file was changed by hand": Trouble(
        change_nginx, "changed since the last deploy: /etc/nginx/nginx.conf", "--tags app", "--tags app"
    ),
    "a disk is full": Trouble(
        fill_disk, "% of its space", "then make room", mends=lambda _, disk: disk.close(), keep=True
    ),
    "no rule from the load balancer": Trouble(
        revoke("app", port=80), "the load balancer cannot reach instances (Target.Timeout)", "--tags network", "--tags network", keep=True
    ),
    "an instance that is not registered": Trouble(deregister, "the load balancer does not know it", "--tags app", "--tags app"),
    "registration is suspended": Trouble(
        suspend("AddToLoadBalancer"), "its process AddToLoadBalancer is suspended", RESUME + "AddToLoadBalancer"
    ),
    "the group is detached": Trouble(
        detach_target_group, "the group is not attached to the target group", "--tags compute", "--tags compute"
    ),
    "no listener": Trouble(delete_listener, "unused: Target.NotInUse", "--tags edge", "--tags edge"),
    "no rule to the database": Trouble(
        revoke("database", port=5432), "instances cannot reach the database", "--tags network", "--tags network"
    ),
    "the database is stopped": Trouble(
        stop_database, "it is stopped", "aws rds start-db-instance --db-instance-identifier {that}", mends=await_database
    ),
    "another database's address": Trouble(
        wrong_address, f"it says old.example.internal, and the database is {OWN}-postgres", "--tags data", "--tags data"
    ),
    "another password": Trouble(change_password, "password authentication failed", "-e app_full=true", "--tags app -e app_full=true"),
    "scaling is suspended": Trouble(
        suspend("AlarmNotification"), "its processes AlarmNotification are suspended", RESUME + "AlarmNotification"
    ),
    "no scaling policy": Trouble(delete_policy, f"its policy {OWN}-cpu is missing", "--tags compute", "--tags compute"),
    "another maximum": Trouble(raise_the_maximum, "max_size is 9", "--tags compute", "--tags compute"),
    "no room to scale": Trouble(narrow, "its smallest and largest size are both 2", "--tags compute", "--tags compute"),
    "the image is gone": Trouble(
        deregister_image, "the image of new instances is missing", "autoscaling_refresh_image=true",
        "--tags compute -e autoscaling_refresh_image=true",
    ),
    "the pointer leads nowhere": Trouble(lose_pointer, "names gone, which is not in the store", "--tags app", "--tags app"),
    "an instance has no rights": Trouble(take_rights, "it may not s3:GetObject on", "--tags compute", "--tags compute"),
    "a profile without its role": Trouble(take_role, "it is missing or has no role", "--tags compute", "--tags compute"),
    "a secret is about to go": Trouble(
        delete_secret, "it is about to be deleted", "aws secretsmanager restore-secret --secret-id django-secret-key"
    ),
    "an agent is silent": Trouble(stop_agent, "its agent is ConnectionLost", "aws ec2 reboot-instances --instance-ids {that}", keep=True),
    "an endpoint was deleted": Trouble(delete_an_endpoint, "the VPC endpoint is missing", "--tags network", "--tags network"),
    "no rule to the endpoints": Trouble(
        revoke("endpoints", port=443), "the agents of Session Manager cannot reach its endpoints", "--tags network", "--tags network"
    ),
    "an alarm is muted": Trouble(mute_alarm, "it is muted", "aws cloudwatch enable-alarm-actions --alarm-names {that}"),
    "an alarm tells nobody": Trouble(take_actions, "its actions are gone", "--tags compute", "--tags compute"),
    "an alarm was deleted": Trouble(delete_an_alarm, "the alarm is missing", "--tags compute", "--tags compute"),
}  # fmt: skip


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


@contextlib.contextmanager
def unhealed(system: System, keep: bool):
    """The group mends nothing meanwhile."""
    if not keep:
        yield
        return
    group = suspend(*HEALING)(system)
    try:
        yield
    finally:
        system.client("autoscaling").resume_processes(AutoScalingGroupName=group, ScalingProcesses=HEALING)


def test_a_sound_system_has_no_problems(recorder, system):
    """The doctor must not cry wolf."""
    await_page(system)
    assert problems(diagnose(recorder, "all is well")) == []


def test_a_problem_fails_the_doctor_s_run(recorder, system):
    """As a person at a terminal and a nightly job see it; the other tests read its JSON."""
    group = suspend("AddToLoadBalancer")(system)
    try:
        outcome = recorder.run("doctor, at a terminal", ANSIBLE, "playbooks/doctor.yml")
    finally:
        system.client("autoscaling").resume_processes(AutoScalingGroupName=group, ScalingProcesses=["AddToLoadBalancer"])
    assert outcome.returncode == 2, outcome.tail()
    assert f"1. registration, {group}: " in outcome.output and "Fix: aws autoscaling resume-processes" in outcome.output, outcome.tail()


@pytest.mark.parametrize("name", TROUBLES)
def test_the_doctor_names_it_and_the_fix_mends_it(recorder, system, name):
    trouble = TROUBLES[name]
    with unhealed(system, trouble.keep):
        that = trouble.breaks(system)
        fix = trouble.fix.format(that=that)
        try:
            await_named(recorder, name, trouble.finding, fix)
        finally:
            for service, operation, options in commands(fix):
                call(system.client(service), operation, options)()
            if trouble.mends:
                trouble.mends(system, that)
            if trouble.options:
                succeeded(recorder.run(f"the fix, {name}", ANSIBLE, "site.yml", *trouble.options.split()))
        await_mended(recorder, name, lambda found: named(found, trouble.finding, fix))
    await_page(system, 180)
    await_mended(recorder, name, problems)


def test_after_all_of_it_a_run_finds_nothing_to_do(recorder, system):
    nothing_changed(recorder.run("site.yml, after all of it", ANSIBLE, "site.yml"))
