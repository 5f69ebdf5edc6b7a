"""The programs of a cluster, built from pinned Go modules into the cache: one after the other, what is needed first at first."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import go
from lab.settings import Settings

SOURCE = Path(__file__).parent / "programs"
VERSION = "v1.35.4"
STAMP = "k8s.io/component-base/version"
# What the programs say of themselves, and what clients (helm, kubectl) go by.
KUBERNETES_FLAGS = (
    f"-X {STAMP}.gitVersion={VERSION} -X {STAMP}.gitMajor=1 -X {STAMP}.gitMinor=35 -X {STAMP}.gitTreeState=clean"
    f" -X {STAMP}.gitCommit= -X {STAMP}.buildDate=2026-04-15T18:01:22Z"
)
# Of one program, with all of its modules still to be fetched and compiled on two slow cores.
BUILD_SECONDS = 3600
REPORT_SECONDS = 15


@dataclass(frozen=True)
class Program:
    name: str
    package: str
    flags: str = ""
    tags: str = ""
    # Folder of the Go module that pins it, below SOURCE.
    module: str = "."


def kubernetes(name: str) -> Program:
    return Program(name, f"k8s.io/kubernetes/cmd/{name}", KUBERNETES_FLAGS)


PAUSE = Program("pause", "./pause")
ETCD = Program("etcd", "go.etcd.io/etcd/server/v3")
API_SERVER = kubernetes("kube-apiserver")
CONTROLLER_MANAGER = kubernetes("kube-controller-manager")
SCHEDULER = kubernetes("kube-scheduler")
KUBELET = kubernetes("kubelet")
PROXY = kubernetes("kube-proxy")
COREDNS = Program("coredns", "./coredns")
METRICS_SERVER = Program("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server", module="metrics-server")
KUBE_STATE_METRICS = Program("kube-state-metrics", "k8s.io/kube-state-metrics/v2")
# Of the two dozen clouds that Prometheus can look for targets in, the two that are here: the others take minutes to compile.
DISCOVERY = "remove_all_sd,enable_kubernetes_sd,enable_aws_sd"
PROMETHEUS = Program("prometheus", "github.com/prometheus/prometheus/cmd/prometheus", tags=DISCOVERY)
PROMTOOL = Program("promtool", "github.com/prometheus/prometheus/cmd/promtool", tags=DISCOVERY)

CONTROL_PLANE = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER)
NODE = (KUBELET, PROXY, PAUSE)
ALL = (*CONTROL_PLANE, *NODE, COREDNS, METRICS_SERVER, PROMETHEUS, PROMTOOL, KUBE_STATE_METRICS)


def folder(settings: Settings) -> Path:
    """Where the programs are, built or not."""
    flags = "\0".join(f"{program.name} {program.flags} {program.tags}" for program in ALL)
    return settings.cache / "kubernetes" / go.key(SOURCE, flags)


def path(program: Program, settings: Settings) -> Path:
    return folder(settings) / program.name


def missing(settings: Settings, programs: tuple[Program, ...] = ALL) -> list[Program]:
    return [program for program in programs if not path(program, settings).exists()]


def build(
    settings: Settings, programs: tuple[Program, ...] = ALL, tell: Callable[[str], None] = lambda text: print(text, flush=True)
) -> Path:
    """Make sure of the programs and return their folder. `tell` takes lines of progress.

    Only the programs that are missing are built, one at a time, also when several labs ask at once. Raises lab.go.BuildError.
    """
    target = folder(settings)
    if not missing(settings, programs):
        return target
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        if not _lock(lock):
            tell("Kubernetes: another lab is building, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        left = missing(settings, programs)
        if left:
            started = time.monotonic()
            compiler = go.toolchain(SOURCE, settings)
            fetch(compiler, left, tell)
            for program in left:
                compile_program(compiler, program, target / program.name, tell)
            tell(f"Kubernetes: {len(left)} programs built in {time.monotonic() - started:.0f} s")
    return target


def _lock(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fetch(compiler: str, programs: list[Program], tell: Callable[[str], None]) -> None:
    """The modules that the programs need, and no others."""
    started, count = time.monotonic(), 0
    reporter = Reporter(tell)

    def seen(line: str) -> None:
        nonlocal count
        if line.startswith("go: downloading"):
            count += 1
            reporter.tell(f"Kubernetes: {count} modules fetched")

    for module, tags in sorted({(program.module, program.tags) for program in programs}):
        wanted = [program.package for program in programs if (program.module, program.tags) == (module, tags)]
        run(module, [compiler, "list", "-deps", f"-tags={tags}", "-f", "{{.ImportPath}}", *wanted], seen, "modules cannot be fetched")
    if count:
        tell(f"Kubernetes: {count} modules fetched in {time.monotonic() - started:.0f} s")


def compile_program(compiler: str, program: Program, target: Path, tell: Callable[[str], None]) -> None:
    started, count = time.monotonic(), 0
    reporter = Reporter(tell)
    listed: list[str] = []
    packages = [compiler, "list", "-deps", f"-tags={program.tags}", "-f", "{{.ImportPath}}", program.package]
    run(program.module, packages, listed.append, "cannot be listed")

    def seen(line: str) -> None:
        nonlocal count
        count += 1
        reporter.tell(f"{program.name}: {count} of at most {len(listed)} packages compiled")

    fresh = target.with_suffix(f".{os.getpid()}")
    flags = f"-s -w {program.flags}".strip()
    command = [compiler, "build", "-v", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", f"-tags={program.tags}", "-o", str(fresh)]
    run(program.module, [*command, program.package], seen, f"{program.name} does not build")
    fresh.replace(target)
    tell(f"{program.name}: built in {time.monotonic() - started:.0f} s, {count} packages compiled, {target.stat().st_size >> 20} MiB")


class Reporter:
    """Lets a line of progress through every now and then."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._last = tell, time.monotonic()

    def tell(self, text: str) -> None:
        if time.monotonic() - self._last >= REPORT_SECONDS:
            self._tell(text)
            self._last = time.monotonic()


def run(module: str, command: list[str], seen: Callable[[str], None], failure: str) -> None:
    """Run it beside everything else on the machine, each line of its output given to `seen`. Raises lab.go.BuildError."""
    last: list[str] = []
    with subprocess.Popen(
        ["nice", "-n", "19", *command],
        cwd=SOURCE / module, env=go.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        watchdog = threading.Timer(BUILD_SECONDS, process.kill)
        watchdog.start()
        for line in process.stdout:
            line = line.rstrip()
            last = [*last[-20:], line]
            seen(line)
        watchdog.cancel()
    if process.returncode != 0:
        raise go.BuildError(f"Kubernetes: {failure}\n" + "\n".join(last))
