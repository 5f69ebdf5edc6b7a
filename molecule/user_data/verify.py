"""Run on a machine, as cloud-init would at its first boot, and once more."""

from __future__ import annotations

import os


def script(machine) -> str:
    return f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/user-data-{machine.variables}"


def test_the_machine_can_be_reached_now_and_after_a_boot(machine):
    assert machine.unit("amazon-ssm-agent.service") == ("inactive", "disabled"), "the scenario did not prepare it"
    machine.output("sh", script(machine))
    assert machine.unit("amazon-ssm-agent.service") == ("active", "enabled")


def test_a_second_run_does_no_harm(machine):
    machine.output("sh", script(machine))
    assert machine.unit("amazon-ssm-agent.service") == ("active", "enabled")


def test_an_instance_configures_itself(machine):
    """As far as there is something to configure it with: before the first deploy it goes into service as it is."""
    log = machine.run("cat", "/var/log/espalier-birth.log").stdout
    if machine.variables == "defaults":
        assert not log, "nobody has asked for that"
        return
    for words in ("no release yet (/Shop/release)", "no launch hook waits for this instance"):
        assert words in log, log


def test_it_opens_nothing(machine):
    listening = machine.output("ss", "--no-header", "--listening", "--tcp", "--numeric").splitlines()
    # Instance metadata are another machine's on EC2.
    assert not [line for line in listening if "127.0.0." not in line and "169.254.169.254" not in line], listening


def test_the_agent_s_version(machine):
    version = "3.3.1.0" if machine.variables == "altered" else "3.3.987.0"
    assert f"/{version}" in machine.output("cat", script(machine))
