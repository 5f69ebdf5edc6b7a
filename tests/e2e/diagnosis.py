"""What a person would look at first when a step has failed, gathered once and without secrets."""

from __future__ import annotations

from pathlib import Path

from lab.podman import LABEL, podman
from lab.settings import SETTINGS

INSIDE = (
    ("failed units", ["systemctl", "--failed", "--no-legend", "--plain"]),
    ("journal", ["journalctl", "--no-pager", "-q", "-n", "80"]),
    ("cloud-init", ["tail", "-n", "40", "/var/log/cloud-init-output.log"]),
    ("nginx", ["tail", "-n", "20", "/var/log/nginx/error.log"]),
)


def lab_logs(lines: int = 40) -> dict[str, str]:
    return {
        f"lab part {path.stem}": "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
        for path in sorted(SETTINGS.logs.glob("*.log"))
    }


def container_logs(lines: int = 40) -> dict[str, str]:
    found = {}
    names = (
        podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}} {{.State}}", check=False).stdout.decode().splitlines()
    )
    for name, _, state in (line.partition(" ") for line in names):
        if name.startswith("espalier-instance-") and state == "running":
            parts = [f"-- {title}\n{answer(podman('exec', name, *command, check=False, timeout=20))}" for title, command in INSIDE]
            found[f"{name} ({state})"] = "\n".join(parts)
        else:
            found[f"{name} ({state})"] = answer(podman("logs", "--tail", str(lines), name, check=False, timeout=20))
    return found


def answer(done) -> str:
    return (done.stdout + done.stderr).decode(errors="replace").strip()


def diagnosis(hidden: list[str]) -> dict[str, str]:
    """Title and text of each finding. A secret that leaked into a log is not spread further: `hidden` values are blotted out."""
    findings = {}
    for gather in (lab_logs, container_logs):
        try:
            findings |= gather()
        except Exception as error:
            findings[gather.__name__] = f"could not be read: {error!r}"
    for value in filter(None, hidden):
        findings = {title: text.replace(value, "[secret]") for title, text in findings.items()}
    return findings


def write(findings: dict[str, str], path: Path) -> None:
    path.write_text("".join(f"==== {title}\n{text}\n\n" for title, text in findings.items()), "utf-8")
