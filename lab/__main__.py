"""`python -m lab`: the lab's commands."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from lab.parts import PARTS, controller_class


def run_part(part: str) -> None:
    """Be one part, until a signal comes. Logs go to stdout: the supervisor sends them to the part's file."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("botocore", "boto3", "urllib3", "werkzeug", "moto"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    controller_class(part)().run()


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="be one part, in the foreground")
    run.add_argument("part", choices=PARTS)
    arguments = parser.parse_args()
    run_part(arguments.part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
