"""Measures deploys and births in the lab of this tree, and writes docs/performance.md: the second part of `make bench`.

The lab is taken down first and at the end, so that nothing of an earlier system is in the figures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.settings import SETTINGS
from tests.acceptance.system import System
from tests.bench.bench import ROOT, WITHOUT_KUBERNETES, machine, phases, run, write
from tests.rehearse.test_births import birth, scale, settled, until

SIZES = (2, 4, 8)
STOCK = "amazon.aws.aws_ssm"
PLAYBOOK = str(ROOT / ".venv" / "bin" / "ansible-playbook")
ENVIRONMENT = {**os.environ, "ANSIBLE_NOCOLOR": "1", "SKIP": WITHOUT_KUBERNETES}


@dataclass
class Deploy:
    """Seconds of a deploy with a changed release, by play, and of the same once more."""

    changed: float
    plays: dict[str, float]
    again: float


def deploy(folder: Path, style: str, *options: str) -> Deploy:
    copy = folder / "app"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "app", copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "guestbook" / "static" / "guestbook" / "style.css").open("a", encoding="utf-8") as file:
        file.write(f"/* {style} */\n")
    command = (PLAYBOOK, "site.yml", "--tags", "app", "-e", f"app_path={copy}", *options)
    changed, output = run(ROOT, ENVIRONMENT, *command)
    again, _ = run(ROOT, ENVIRONMENT, *command)
    plays = {name.removeprefix("site.yml: "): seconds for name, seconds in phases(output).items() if name.startswith("site.yml: ")}
    return Deploy(changed, plays, again)


def grown(system: System, size: int) -> None:
    """The group at this size, whatever its maximum is."""
    name = system.auto_scaling_group()["AutoScalingGroupName"]
    system.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=max(SIZES), MinSize=2)
    scale(system, size)
    until(lambda: settled(system, size), 1800, f"{size} healthy instances")


def stock(folder: Path) -> tuple[str, ...]:
    """Options that reach the instances with the stock plugin, and the controller as ever: a second inventory wins over the first."""
    variables = folder / "stock" / "group_vars" / "app" / "connection.yml"
    variables.parent.mkdir(parents=True)
    variables.write_text(f"ansible_connection: {STOCK}\n", encoding="utf-8")
    (folder / "stock" / "hosts.yml").write_text("all: {}\n", encoding="utf-8")
    return "-i", "inventories/lab", "-i", str(folder / "stock")


@contextmanager
def lab() -> Iterator[None]:
    run(ROOT, ENVIRONMENT, "make", "lab-down")
    run(ROOT, ENVIRONMENT, "make", "lab")
    try:
        yield
    finally:
        subprocess.run(["make", "lab-down"], cwd=ROOT, check=False)


def table(deploys: dict[str, Deploy], births: dict[str, float]) -> str:
    # Plays that have nothing to do in a deploy are left out.
    names = list(dict.fromkeys(name for made in deploys.values() for name, seconds in made.plays.items() if seconds >= 0.1))
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}, time scale {SETTINGS.time_scale:g}, one instance at a time.",
        "",
        f"| `--tags app` | {' | '.join(deploys)} |",
        f"|---|{'---|' * len(deploys)}",
        f"| **changed release** | {' | '.join(f'**{made.changed:.0f} s**' for made in deploys.values())} |",
        f"| same release | {' | '.join(f'{made.again:.0f} s' for made in deploys.values())} |",
        *(f"| {name} | {' | '.join(f'{made.plays.get(name, 0):.1f}' for made in deploys.values())} |" for name in names),
        "",
        "| a new instance, from its launch to its first healthy answer | seconds |",
        "|---|---|",
        *(f"| {name} | {seconds:.0f} |" for name, seconds in births.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    deploys, births = {}, {}
    with lab(), tempfile.TemporaryDirectory(prefix="espalier-bench-") as temporary:
        system, folder = System(), Path(temporary)
        deploys["2 instances"] = deploy(folder, "two")
        deploys[f"2 instances, {STOCK}"] = deploy(folder, "two, stock", *stock(folder))
        births["from the bare image"] = birth(system, 3)[1]
        grown(system, 2)
        run(ROOT, ENVIRONMENT, PLAYBOOK, "playbooks/image.yml")
        births["from the baked image"] = birth(system, 3)[1]
        for size in SIZES[1:]:
            grown(system, size)
            deploys[f"{size} instances"] = deploy(folder, str(size))
    write(table(deploys, births), "bench of deploys")


if __name__ == "__main__":
    main()
