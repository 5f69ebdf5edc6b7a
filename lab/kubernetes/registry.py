"""ECR's data plane: a container registry, which also holds the images that the lab's clusters begin with."""

from __future__ import annotations

import json

from lab import control, network
from lab.controller import Controller
from lab.kubernetes import image, images, programs
from lab.kubernetes.registry_client import Registry
from lab.podman import LABEL, podman
from lab.settings import SETTINGS, Settings

KIND = "registry"
# How it is called on the lab's network, and its port there.
NAME, PORT = "registry.espalier.internal", 5000
CONFIGURATION = {
    "version": 0.1,
    "log": {"level": "warn"},
    "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}, "delete": {"enabled": True}},
    "http": {"addr": f":{PORT}"},
}


class RegistryPart(Controller):
    name = "registry"
    interval_seconds = 2.0

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.container = f"{settings.prefix}-registry"
        self.registry = Registry(f"http://127.0.0.1:{settings.registry_port}")
        self.left: list[images.ProgramImage] | None = None
        self.exporter_pushed = False

    def reconcile(self) -> None:
        if not self.answers():
            self.start()
            self.left, self.exporter_pushed = None, False
            return
        if self.left is None:
            control.call("ecr_registry", settings=self.settings, url=self.registry.url)
            self.left = list(images.PROGRAM_IMAGES)
            self.log.info("serves on %s", self.registry.url)
        for wanted in list(self.left):
            if not programs.missing(self.settings, (wanted.program,)):
                images.push_program(wanted, self.registry, self.settings)
                self.left.remove(wanted)
                self.log.info("%s:%s is there", wanted.repository, wanted.tag)
        if not self.exporter_pushed:
            images.push_postgres_exporter(self.registry, self.settings)
            self.exporter_pushed = True

    def answers(self) -> bool:
        try:
            self.registry.request("GET", "/v2/").close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        folder = self.settings.state / "registry"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "config.yml").write_text(json.dumps(CONFIGURATION))
        podman("rm", "--force", "--ignore", "--time", "1", self.container)
        podman(
            "run", "--detach", "--name", self.container, "--label", f"{LABEL}={KIND}", "--label", f"espalier.id={KIND}",
            *network.at(None, self.settings), "--network-alias", NAME, "--publish", f"127.0.0.1:{self.settings.registry_port}:{PORT}",
            "--cap-drop", "all", "--cap-add", "DAC_OVERRIDE",
            "--volume", f"{folder / 'images'}:/var/lib/registry", "--volume", f"{folder / 'config.yml'}:/etc/registry.yml:ro",
            image.IMAGE.tag, "docker-registry", "serve", "/etc/registry.yml",
        )  # fmt: skip
        self.log.info("started")
