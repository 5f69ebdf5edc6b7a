"""Measures what docs/performance.md says, and writes it there: `make bench`, or `python -m tests.bench.bench --help`.

All of it happens in a fresh clone of the last commit in a temporary folder. Cold means caches and container storage of the run's own, so
that nobody's caches are deleted; Debian packages that are installed stay installed. The lab of this machine is taken down first.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "performance.md"
SSM_TASKS = 20
# What `make lab SKIP=` leaves out for the figures of the instances alone.
WITHOUT_KUBERNETES = "cluster,monitoring"
AWS_HALF = ("network", "data", "edge", "compute")


@dataclass
class Run:
    """One `make lab`: its seconds in all, and by phase in the order in which they ended."""

    seconds: float
    phases: dict[str, float]


def run(folder: Path, environment: dict[str, str], *command: str, seconds: int = 1800) -> tuple[float, str]:
    """Seconds and output of a command that must succeed."""
    print(f"$ {' '.join(command)}", flush=True)
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    taken = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} answered {done.returncode} after {taken:.0f} s:\n{done.stdout[-6000:]}")
    print(f"  {taken:.1f} s", flush=True)
    return taken, done.stdout


def phases(output: str) -> dict[str, float]:
    """Timings as bin/setup, the lab and the callback espalier.aws.summary print them."""
    found: dict[str, float] = {}
    step = ""
    for line in output.splitlines():
        if opened := re.match(r"==> (.+?) \.\.\.$", line):
            step = opened[1]
        elif closed := re.match(r"\s+done in ([\d.]+) s$", line):
            found[step] = found.get(step, 0) + float(closed[1])
        elif play := re.match(r"\s*([\d.]+) s  (?!in all)(.+): \d+ (?:would )?change", line):
            # A play with batches has a line for each.
            found[f"site.yml: {play[2]}"] = found.get(f"site.yml: {play[2]}", 0) + float(play[1])
    return found


def make_lab(folder: Path, environment: dict[str, str], skip: str = WITHOUT_KUBERNETES) -> Run:
    taken, output = run(folder, environment, "make", "lab", f"SKIP={skip}", seconds=3600)
    return Run(taken, phases(output))


def cold_environment(folder: Path) -> dict[str, str]:
    """Caches of pip, uv, Go, npm, Espalier and podman's storage below `folder`."""
    storage = folder / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/containers"\nrunroot = "{folder}/run"\n', "utf-8")
    own = {
        "XDG_CACHE_HOME": folder / "cache",
        "GOMODCACHE": folder / "go",
        "GOCACHE": folder / "go-build",
        "npm_config_cache": folder / "npm",
        "CONTAINERS_STORAGE_CONF": storage,
    }
    return {**os.environ, **{name: str(path) for name, path in own.items()}}


def aws_half(made: Run) -> float:
    """Seconds of the plays of the account's half."""
    names = {play["name"] for tag in AWS_HALF for play in yaml.safe_load((ROOT / "playbooks" / f"{tag}.yml").read_text("utf-8"))}
    return sum(seconds for name, seconds in made.phases.items() if name.removeprefix("site.yml: ") in names)


def ssm_seconds_per_task(folder: Path, environment: dict[str, str]) -> float:
    """A command on both instances at once: the difference that `SSM_TASKS` more of them make."""
    ansible = str(folder / ".venv" / "bin" / "ansible-playbook")
    taken = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in (1, 1 + SSM_TASKS):
            task = "    - ansible.builtin.command: /bin/true\n      changed_when: false\n"
            playbook = Path(temporary) / f"{count}.yml"
            playbook.write_text(f"- hosts: app\n  gather_facts: false\n  tasks:\n{task * count}", "utf-8")
            taken.append(run(folder, environment, ansible, str(playbook))[0])
    return (taken[1] - taken[0]) / SSM_TASKS


def machine() -> str:
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text("utf-8"))
    model = re.search(r"model name\s+: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    processor = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {int(memory[1]) / 2**20:.0f} GiB, Linux {platform.release()}"


def table(runs: dict[str, Run], per_task: float, commit: str) -> str:
    """Markdown: the totals with their limits, then each phase of each run."""
    limits = {"cold": "900 s", "warm": "300 s", "again": "90 s", "kubernetes cold": "1500 s", "kubernetes warm": "480 s"}
    said = {
        "cold": "fresh clone, caches cold",
        "warm": "caches warm, lab down",
        "again": "lab up: nothing to do",
        "kubernetes cold": "with Kubernetes, fresh clone, caches cold",
        "kubernetes warm": "with Kubernetes, caches warm, lab down",
    }
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} at commit {commit} on {machine()}.",
        "",
        f"| `make lab SKIP={WITHOUT_KUBERNETES}`, and `make lab` | seconds | limit |",
        "|---|---|---|",
        *(f"| {said[name]} | {made.seconds:.0f} | {limits[name]} |" for name, made in runs.items()),
        "",
        "| of it | seconds | limit |",
        "|---|---|---|",
        f"| AWS half, fresh | {aws_half(runs['warm']):.0f} | 75 s |",
        f"| AWS half, no change | {aws_half(runs['again']):.0f} | 36 s |",
        f"| one task on both instances over Session Manager | {per_task:.2f} | |",
        "",
        f"| phase | {' | '.join(said[name] for name in runs)} |",
        f"|---|{'---|' * len(runs)}",
    ]
    names = list(dict.fromkeys(name for made in runs.values() for name in made.phases))
    for name in names:
        figures = (f"{made.phases[name]:.1f}" if name in made.phases else "" for made in runs.values())
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def write(text: str, part: str = "bench") -> None:
    """Between the marks of this part of the page."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, _, rest = REPORT.read_text("utf-8").partition(begin)
    REPORT.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", "utf-8")
    print(f"written: {REPORT}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-cold", action="store_true", help="leave out the run with cold caches")
    arguments = parser.parse_args()
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    runs: dict[str, Run] = {}
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as temporary:
        folder, clone = Path(temporary), Path(temporary) / "espalier"
        run(folder, dict(os.environ), *git, "clone", "--quiet", str(ROOT), str(clone))
        run(ROOT, dict(os.environ), "make", "lab-down")
        try:
            if not arguments.no_cold:
                for name, skip in (("kubernetes cold", ""), ("cold", WITHOUT_KUBERNETES)):
                    caches = folder / name.replace(" ", "-")
                    caches.mkdir()
                    cold = cold_environment(caches)
                    runs[name] = make_lab(clone, cold, skip)
                    run(clone, cold, "make", "lab-down")
                    run(clone, cold, "rm", "-rf", ".venv")
            # Fills what the first run left elsewhere, so that the next one meets warm caches of this user.
            run(clone, dict(os.environ), "bin/setup", "lab")
            runs["warm"] = make_lab(clone, dict(os.environ))
            runs["again"] = make_lab(clone, dict(os.environ))
            per_task = ssm_seconds_per_task(clone, dict(os.environ))
            run(clone, dict(os.environ), "make", "lab-down")
            runs["kubernetes warm"] = make_lab(clone, dict(os.environ), "")
        finally:
            subprocess.run(["make", "lab-down"], cwd=clone, check=False)
    write(table(runs, per_task, commit))


if __name__ == "__main__":
    main()
