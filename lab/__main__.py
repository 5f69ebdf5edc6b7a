"""`python -m lab`: the lab's commands."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from lab.parts import PARTS
from lab.settings import SETTINGS


def run_part(part: str) -> int:
    """Be one part, until a signal comes. Logs go to stdout: the supervisor sends them to the part's file."""
    import logging
    import signal

    from lab.parts import controller_class

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("botocore", "boto3", "urllib3", "werkzeug", "moto"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    controller_class(part)().run()
    return 0


def show_logs(part: str | None, lines: int, follow: bool) -> int:
    """The end of one part's log, or of all."""
    files = [SETTINGS.logs / f"{name}.log" for name in ([part] if part else PARTS)]
    present = [str(file) for file in files if file.exists()]
    if not present:
        print("lab: no log; the lab is not up")
        return 1
    # -F: the supervisor may replace a file that grew too large.
    return subprocess.run(["tail", "-n", str(lines), *(["-F"] if follow else []), *present], check=False).returncode


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the lab, or repair it")
    commands.add_parser("down", help="remove everything of the lab but the caches")
    commands.add_parser("status", help="what runs in the lab")
    commands.add_parser("build", help="build what the lab needs, into the cache")
    commands.add_parser("progress", help="how the programs of Kubernetes are built, until they are there")
    logs = commands.add_parser("logs", help="the end of the logs")
    logs.add_argument("part", nargs="?", choices=PARTS)
    logs.add_argument("-n", "--lines", type=int, default=50, help="of each log (default 50)")
    logs.add_argument("-f", "--follow", action="store_true")
    messages = commands.add_parser("messages", help="what SNS would have delivered")
    messages.add_argument("-n", "--count", type=int, default=20, help="the last so many (default 20)")
    scaling = commands.add_parser("scaling", help="let the auto scaling groups follow their CPU, or not; without a word: which of both")
    scaling.add_argument("switch", nargs="?", choices=("on", "off"))
    run = commands.add_parser("run", help="be one part, in the foreground")
    run.add_argument("part", choices=PARTS)
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run_part(arguments.part)
    if arguments.command == "logs":
        return show_logs(arguments.part, arguments.lines, arguments.follow)
    if arguments.command == "progress":
        from lab.kubernetes import progress

        return progress.follow(SETTINGS)
    if arguments.command == "status":
        from lab import status

        return status.show(SETTINGS)
    if arguments.command in ("messages", "scaling"):
        from lab import words

        return words.messages(arguments.count) if arguments.command == "messages" else words.scaling(arguments.switch)

    from lab.podman import PodmanError
    from lab.supervisor import LabError, Supervisor

    try:
        getattr(Supervisor(SETTINGS), arguments.command)()
    except (LabError, PodmanError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # `lab logs | head`: nobody reads any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
