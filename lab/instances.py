"""EC2's data plane: a container with systemd for every instance, brought up by cloud-init with its user data, and images of them."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from lab import control, image, machine, network
from lab.controller import Controller
from lab.podman import IMAGES, LABEL, PodmanError, containers, podman
from lab.processes import Process
from lab.settings import SETTINGS, Settings

KIND = "instance"
PREFIX = "espalier-instance-"
# An instance is a whole machine: its systemd may mount, sandbox units, and have its own firewall. Never the host's devices.
CAPABILITIES = "SYS_ADMIN,NET_ADMIN,NET_RAW,SYS_PTRACE,SYS_NICE,AUDIT_WRITE,MKNOD"
STOP_SECONDS = 5


def boot(name: str, hostname: str, *arguments: str, settings: Settings, machine_image: str = "") -> None:
    """A container with systemd from the base image or another, with pip's cache and the registries' settings of this machine."""
    pip_cache = settings.cache / "pip"
    pip_cache.mkdir(parents=True, exist_ok=True)
    # pip uses a cache only where its user may write, and an application's installer is seldom root.
    pip_cache.chmod(0o1777)
    environment = machine.write_environment(settings)
    podman(
        "run", "--detach", "--name", name, "--hostname", hostname,
        "--systemd", "always", "--cap-add", CAPABILITIES, "--security-opt", "seccomp=unconfined",
        "--volume", f"{pip_cache}:{machine.PIP_CACHE}",
        "--volume", f"{environment / 'environment'}:/etc/environment:ro",
        "--volume", f"{environment / 'systemd.conf'}:/etc/systemd/system.conf.d/90-machine.conf:ro",
        *arguments, machine_image or image.tag(),
    )  # fmt: skip


class Instances(Controller):
    name = "instances"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.running: dict[str, Process] = {}
        self.known: set[str] | None = None
        self.known_images: list[str] | None = None
        self.troubles: dict[str, str] = {}

    def reconcile(self) -> None:
        control.call("groups_step", settings=self.settings)
        machines = [found for found in control.call("machines", settings=self.settings)["machines"] if not found["cluster"]]
        known = {found["id"] for found in machines}
        # podman is asked only when the account changed: a look costs a tenth of a second of CPU.
        if known != self.known:
            self.remove_orphans(known)
            self.known = known
        self.reconcile_images()
        for found in machines:
            try:
                self.converge(found)
                self.troubles.pop(found["id"], None)
            except Exception as error:
                # One instance's trouble must not keep the others waiting, nor fill the log every second.
                if self.troubles.get(found["id"]) != str(error):
                    self.log.error("%s: %s; tried again every %s s", found["id"], error, self.interval_seconds)
                self.troubles[found["id"]] = str(error)

    def converge(self, found: dict) -> None:
        instance_id, state = found["id"], found["state"]
        if state in ("pending", "running"):
            if not self.alive(instance_id):
                self.bring_up(found)
            if state == "pending":
                self.report(instance_id, "running")
            elif found["reboot"]:
                podman("restart", "--time", str(STOP_SECONDS), PREFIX + instance_id)
                self.running.pop(instance_id, None)
                self.report(instance_id, "rebooted")
        elif state == "stopping":
            podman("stop", "--time", str(STOP_SECONDS), "--ignore", PREFIX + instance_id)
            self.running.pop(instance_id, None)
            self.report(instance_id, "stopped")
        elif state == "shutting-down":
            self.remove(instance_id)
            self.report(instance_id, "terminated")

    def report(self, instance_id: str, state: str) -> None:
        control.call("machine_state", settings=self.settings, id=instance_id, state=state)
        self.log.info("%s: %s", instance_id, state)

    def alive(self, instance_id: str) -> bool:
        process = self.running.get(instance_id)
        return process is not None and process.alive()

    def bring_up(self, found: dict) -> None:
        """From whatever there is to a running container: a new one, or the stopped one with what is on its disk."""
        name = PREFIX + found["id"]
        if podman("container", "exists", name, check=False).returncode == 0:
            if found["state"] == "running" and found["id"] in self.running:
                self.log.warning("%s: its machine is down, starting it again", found["id"])
            podman("start", name)
        else:
            self.create(found)
        pid = int(podman("inspect", "--type", "container", "--format", "{{.State.Pid}}", name).stdout)
        self.running[found["id"]] = Process.of(pid)

    def create(self, found: dict) -> None:
        seed = self.seed(found)
        boot(
            PREFIX + found["id"], found["hostname"],
            "--label", f"{LABEL}={KIND}", "--label", f"espalier.id={found['id']}",
            *network.at(found["address"], self.settings), "--network-alias", f"{found['hostname']}.ec2.internal",
            "--volume", f"{seed}:/var/lib/cloud/seed/nocloud:ro",
            settings=self.settings, machine_image=f"{IMAGES}:{found['image']}" if found["image"] else "",
        )  # fmt: skip

    def seed(self, found: dict) -> Path:
        """cloud-init's NoCloud folder of an instance."""
        folder = self.settings.state / "instances" / found["id"]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        user_data = control.call("machine_user_data", settings=self.settings, id=found["id"])["user_data"]
        (folder / "user-data").write_bytes(base64.b64decode(user_data))
        (folder / "meta-data").write_text(f"instance-id: {found['id']}\nlocal-hostname: {found['hostname']}\n")
        return folder

    def remove(self, instance_id: str) -> None:
        podman("rm", "--force", "--ignore", "--volumes", "--time", str(STOP_SECONDS), PREFIX + instance_id)
        shutil.rmtree(self.settings.state / "instances" / instance_id, ignore_errors=True)
        self.running.pop(instance_id, None)

    def remove_orphans(self, known: set[str]) -> None:
        """Machines that no record asks for: terminated while this controller was down."""
        for container in containers(KIND):
            instance_id = container["Labels"]["espalier.id"]
            if self.settings.network in container["Networks"] and instance_id not in known:
                self.log.info("%s: removing the orphan", instance_id)
                self.remove(instance_id)

    # --- images

    def reconcile_images(self) -> None:
        """Make the images that are asked for, and forget those that nobody knows any more."""
        found = control.call("images", settings=self.settings)
        for wanted in found["wanted"]:
            try:
                self.commit(wanted)
            except PodmanError as error:
                self.log.error("%s: %s", wanted["id"], error)
                control.call("image_state", settings=self.settings, id=wanted["id"], state="failed")
            else:
                control.call("image_state", settings=self.settings, id=wanted["id"], state="available")
        if found["machines"] != self.known_images:
            for name in images():
                if name.rpartition(":")[2] not in found["machines"]:
                    self.log.info("removing the image %s", name)
                    # A running instance holds on to it, as to its volume in AWS: tried again at the next change.
                    podman("rmi", name, check=False)
            self.known_images = found["machines"]

    def commit(self, wanted: dict) -> None:
        """What is on the instance's disk, without what the lab mounts there. The next pass starts a stopped machine again."""
        name = PREFIX + wanted["instance"]
        if not wanted["no_reboot"]:
            podman("stop", "--time", str(STOP_SECONDS), name)
            self.running.pop(wanted["instance"], None)
        podman("commit", "--quiet", "--include-volumes=false", name, f"{IMAGES}:{wanted['id']}", timeout=300)
        self.log.info("%s: image of %s", wanted["id"], wanted["instance"])


def images() -> list[str]:
    """Names of podman's images that were made of instances."""
    listed = podman("images", "--filter", f"reference={IMAGES}", "--format", "{{.Repository}}:{{.Tag}}").stdout.decode()
    return listed.split()
