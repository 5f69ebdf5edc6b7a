"""Troubles of docs/runbooks: the lab is broken that way, doctor.yml names the cause and the fix, and the fix mends it.

Stands on a built system with a deployed release, and leaves one behind. The group's replacement of unhealthy instances is suspended
where it would mend the trouble before anybody could look at it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.acceptance import app
from tests.acceptance.system import System
from tests.e2e.steps import await_page, nothing_changed, succeeded
from tests.rehearse.diagnosis import ANSIBLE, await_named, diagnose, named, problems

HEALING = ["HealthCheck", "ReplaceUnhealthy"]


@dataclass
class Trouble:
    """`breaks(system)` returns what `mends(system, that)` needs; words of the finding and of its fix; tags of site.yml that mend it."""

    breaks: Callable[[System], object]
    finding: str
    fix: str
    tags: str = ""
    mends: Callable[[System, object], None] | None = None
    # Suspend the group's healing meanwhile; the doctor says that, too.
    keep: bool = False
    more: tuple[str, ...] = field(default_factory=tuple)


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


def suspend(process: str) -> Callable[[System], None]:
    def act(system: System) -> None:
        system.client("autoscaling").suspend_processes(AutoScalingGroupName=f"{system.prefix}-asg", ScalingProcesses=[process])

    return act


def resume(*processes: str) -> Callable[[System, object], None]:
    def act(system: System, _: object) -> None:
        system.client("autoscaling").resume_processes(AutoScalingGroupName=f"{system.prefix}-asg", ScalingProcesses=list(processes))

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


def stop_database(system: System) -> None:
    system.client("rds").stop_db_instance(DBInstanceIdentifier=system.database()["DBInstanceIdentifier"])


def start_database(system: System, _: object) -> None:
    rds, name = system.client("rds"), f"{system.prefix}-postgres"
    deadline = time.monotonic() + 120
    while system.database()["DBInstanceStatus"] != "stopped" and time.monotonic() < deadline:
        time.sleep(1)
    rds.start_db_instance(DBInstanceIdentifier=name)
    while system.database()["DBInstanceStatus"] != "available" and time.monotonic() < deadline:
        time.sleep(1)


def wrong_address(system: System) -> None:
    system.client("ssm").put_parameter(Name="/DjangoApp/rds_endpoint", Value="old.example.internal", Overwrite=True)


def delete_policy(system: System) -> None:
    system.client("autoscaling").delete_policy(AutoScalingGroupName=f"{system.prefix}-asg", PolicyName=f"{system.prefix}-cpu")


def stop_agent(system: System) -> str:
    on(system, "systemctl", "stop", "amazon-ssm-agent.service")
    return first(system)


def start_agent(system: System, instance: object) -> None:
    """What a reboot does."""
    app.output(system, str(instance), "systemctl", "start", "amazon-ssm-agent.service")


def lose_pointer(system: System) -> str:
    ssm = system.client("ssm")
    before = ssm.get_parameter(Name="/DjangoApp/release")["Parameter"]["Value"]
    ssm.put_parameter(Name="/DjangoApp/release", Value="gone", Overwrite=True)
    return before


def delete_secret(system: System) -> None:
    system.client("secretsmanager").delete_secret(SecretId="django-secret-key", RecoveryWindowInDays=7)


def restore_secret(system: System, _: object) -> None:
    system.client("secretsmanager").restore_secret(SecretId="django-secret-key")


def change_nginx(system: System) -> None:
    on(system, "sh", "-c", "echo '# by hand' >> /etc/nginx/nginx.conf")


def silence_alarm(system: System) -> None:
    system.client("cloudwatch").disable_alarm_actions(AlarmNames=[f"{system.prefix}-cpu-high"])


def speak_again(system: System, _: object) -> None:
    system.client("cloudwatch").enable_alarm_actions(AlarmNames=[f"{system.prefix}-cpu-high"])


TROUBLES = {
    "gunicorn is masked": Trouble(mask, "gunicorn.socket is masked", "unmask", tags="app", mends=unmask, keep=True),
    "nginx is stopped": Trouble(
        lambda system: on(system, "systemctl", "stop", "nginx.service"), "nginx.service is inactive", "--tags app", tags="app", keep=True
    ),
    "a file was changed by hand": Trouble(change_nginx, "/etc/nginx/nginx.conf", "--tags app", tags="app"),
    "no rule from the load balancer": Trouble(
        revoke("app", port=80), "load balancer cannot reach instances", "--tags network", tags="network", keep=True
    ),
    "an instance that is not registered": Trouble(deregister, "the load balancer does not know it", "--tags app", tags="app"),
    "registration is suspended": Trouble(
        suspend("AddToLoadBalancer"), "AddToLoadBalancer is suspended", "resume-processes", mends=resume("AddToLoadBalancer")
    ),
    "no rule to the database": Trouble(
        revoke("database", port=5432), "instances cannot reach the database", "--tags network", tags="network"
    ),
    "the database is stopped": Trouble(stop_database, "it is stopped", "start-db-instance", mends=start_database),
    "another database's address": Trouble(wrong_address, "old.example.internal", "--tags data", tags="data"),
    "scaling is suspended": Trouble(
        suspend("AlarmNotification"), "AlarmNotification are suspended", "resume-processes", mends=resume("AlarmNotification")
    ),
    "no scaling policy": Trouble(delete_policy, "is missing: load does not change its size", "--tags compute", tags="compute"),
    "the pointer leads nowhere": Trouble(lose_pointer, "names gone, which is not in the store", "--tags app", tags="app"),
    "a secret is about to go": Trouble(delete_secret, "it is about to be deleted", "restore-secret", mends=restore_secret),
    "an agent is silent": Trouble(stop_agent, "its agent is ConnectionLost", "reboot-instances", mends=start_agent, keep=True),
    "an alarm that tells nobody": Trouble(silence_alarm, "it tells nobody", "--tags compute", mends=speak_again),
}


@pytest.fixture(scope="module")
def system(built) -> System:
    return built


@contextlib.contextmanager
def unhealed(system: System, keep: bool):
    """The group mends nothing meanwhile."""
    if keep:
        suspend_all(system)
    try:
        yield
    finally:
        if keep:
            resume(*HEALING)(system, None)


def suspend_all(system: System) -> None:
    system.client("autoscaling").suspend_processes(AutoScalingGroupName=f"{system.prefix}-asg", ScalingProcesses=HEALING)


def test_a_sound_system_has_no_problems(recorder, system):
    """The doctor must not cry wolf."""
    await_page(system)
    assert problems(diagnose(recorder, "all is well")) == []


@pytest.mark.parametrize("name", TROUBLES)
def test_the_doctor_names_it_and_the_fix_mends_it(recorder, system, name):
    trouble = TROUBLES[name]
    with unhealed(system, trouble.keep):
        handle = trouble.breaks(system)
        try:
            await_named(recorder, name, trouble.finding, trouble.fix)
        finally:
            if trouble.mends:
                trouble.mends(system, handle)
            if trouble.tags:
                succeeded(recorder.run(f"the fix, {name}", ANSIBLE, "site.yml", "--tags", trouble.tags))
    await_page(system, 180)
    assert not named(diagnose(recorder, f"{name}, mended"), trouble.finding, trouble.fix)


def test_after_all_of_it_a_run_finds_nothing_to_do(recorder, system):
    nothing_changed(recorder.run("site.yml, after all of it", ANSIBLE, "site.yml"))
