"""`lab messages` and `lab scaling`: what the account's API process knows and AWS's API never tells."""

from __future__ import annotations

import json
import time
from urllib.error import URLError

from lab import control


def messages(count: int) -> int:
    """Print the last messages of SNS. Returns the exit code."""
    answer = ask("messages", count=count)
    for found in answer.get("messages", []):
        print(f"{time.strftime('%H:%M:%S', time.localtime(found['time']))}  {found['topic']} -> {', '.join(found['to']) or 'nobody'}")
        print(f"          {found['subject']}")
        print(f"          {reason(found['message'])}\n")
    if answer.get("messages") == []:
        print("lab: no message yet")
    return 0 if answer else 1


def reason(message: str) -> str:
    """The part of a message that says why."""
    try:
        content = json.loads(message)
    except ValueError:
        return message
    return content.get("NewStateReason") or content.get("Cause") or message if isinstance(content, dict) else message


def scaling(switch: str | None) -> int:
    """Switch target tracking, and say whether it is on. Returns the exit code."""
    answer = ask("scaling", **({"on": switch == "on"} if switch else {}))
    if answer:
        print("lab: groups follow their CPU" if answer["on"] else "lab: groups keep their capacity; alarms are evaluated all the same")
    return 0 if answer else 1


def ask(route: str, **body) -> dict:
    try:
        return control.call(route, **body)
    except URLError:
        print("lab: it is not up")
    except control.ControlError as error:
        print(f"lab: {error}")
    return {}
