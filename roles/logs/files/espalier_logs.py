"""Send the lines of journals and files to CloudWatch Logs, with the instance profile's role.

usage: espalier_logs.py ORDERS STATE

ORDERS is JSON: group, interval (seconds), and streams, a list of {name, unit or file, match}. Each becomes the log stream
<instance id>/<name>. Of the streams of one unit or file, a line goes to the first whose regular expression `match` finds something at its
beginning; one without `match` takes every line. What systemd itself says of a unit goes to the unit's first stream.

STATE is a file. It moves on only when CloudWatch has taken the lines: after a crash or an outage nothing is missing, and the lines of one
batch may be there twice. Nothing but Python and journalctl is needed.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from espalier_aws import Aws, AwsError, metadata

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BATCH_EVENTS, BATCH_BYTES, EVENT_EXTRA_BYTES, BATCH_SPAN_MS = 10_000, 1_048_576, 26, 24 * 3600 * 1000
EVENT_BYTES = 250_000
# Read at a time, so that a long backlog needs no more memory than that.
CHUNK = 1 << 20
RETRY_SECONDS = (1, 60)
EXCEPTION = re.compile(r"[\w.]+(: |$)")


def say(text):
    print(text, flush=True)


class Journal:
    """The entries of some units, from a cursor on."""

    def __init__(self, units, cursor):
        self.cursor, self.rest, self.full = cursor, b"", False
        since = [f"--after-cursor={cursor}"] if cursor else ["--boot", "--lines=all"]
        command = ["journalctl", "--follow", "--quiet", "--all", "--output=json", *since, *(f"--unit={unit}" for unit in units)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def read(self):
        """What has come: (source, milliseconds, text, from systemd) each. Raises AwsError when journalctl has ended."""
        data = b""
        while len(data) < CHUNK and self.selector.select(0):
            piece = os.read(self.process.stdout.fileno(), CHUNK)
            if not piece:
                raise AwsError(f"journalctl has ended with {self.process.wait()}")
            data += piece
        self.full = len(data) >= CHUNK
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [found for line in lines if (found := self.entry(json.loads(line)))]

    def entry(self, fields):
        self.cursor = fields["__CURSOR"]
        text, about = fields.get("MESSAGE"), fields.get("UNIT")
        # What is no UTF-8 comes as a list of numbers.
        text = bytes(text).decode(errors="replace") if isinstance(text, list) else text
        return (about or fields.get("_SYSTEMD_UNIT"), int(fields["__REALTIME_TIMESTAMP"]) // 1000, text, bool(about)) if text else None


class File:
    """A file that grows, is rotated (the old one is then read to its end) or cut."""

    def __init__(self, path, inode=None, offset=0):
        self.path, self.inode, self.offset, self.full = Path(path), inode, offset, False

    def read(self):
        """The whole lines that have come."""
        self.full, path = False, self.current()
        if path is None:
            return []
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self.offset:
                self.offset = 0
            file.seek(self.offset)
            data = file.read(CHUNK)
        self.full = len(data) == CHUNK
        end = data.rfind(b"\n") + 1
        # A line without an end, or one that only a mistake can have written.
        end = len(data) if self.full and not end else end
        self.offset += end
        now = int(time.time() * 1000)
        return [(str(self.path), now, line, False) for line in data[:end].decode(errors="replace").splitlines()]

    def current(self):
        """What is being read: the file that was rotated, as long as something of it is left."""
        rotated = self.path.with_name(f"{self.path.name}.1")
        old, new = (path.stat() if path.exists() else None for path in (rotated, self.path))
        if old and old.st_ino == self.inode and old.st_size > self.offset:
            return rotated
        # Empty: whoever writes has not come to the new one yet.
        if new and new.st_ino != self.inode and (new.st_size or self.inode is None):
            self.inode, self.offset = new.st_ino, 0
        return self.path if new and new.st_ino == self.inode else None


class Streams:
    """Which line belongs to which stream, and which lines are one event."""

    def __init__(self, streams):
        self.of = {}
        for stream in streams:
            match = re.compile(stream.get("match") or "")
            self.of.setdefault(stream.get("unit") or stream["file"], []).append((stream["name"], match))

    def events(self, lines):
        """Events by stream. The lines of a traceback are one event with the line before them."""
        events, last = {}, {}
        for source, at, text, systemd in lines:
            before = last.get(source)
            if before and not systemd and continues(text, before[1]):
                event = before[2]
                if len(event["message"]) + len(text) < EVENT_BYTES:
                    event["message"] += f"\n{text}"
                last[source] = (before[0], text, event)
                continue
            name = next((name for name, match in self.of.get(source, ()) if systemd or match.match(text)), None)
            if name is None or not text.strip():
                continue
            event = {"timestamp": at, "message": text.encode()[:EVENT_BYTES].decode(errors="ignore")}
            events.setdefault(name, []).append(event)
            last[source] = (name, text, event)
        return events


def continues(text, before):
    """Whether a line belongs to the one before: the parts of a Python traceback, and what is indented."""
    after_frame = before[:1].isspace() and EXCEPTION.match(text)
    return text[:1].isspace() or text.startswith("Traceback (") or bool(after_frame)


def batches(events):
    """As CloudWatch takes them: in order, and none too large or too long."""
    batch, size = [], 0
    for event in sorted(events, key=lambda event: event["timestamp"]):
        more = len(event["message"].encode()) + EVENT_EXTRA_BYTES
        full = len(batch) == BATCH_EVENTS or size + more > BATCH_BYTES
        if batch and (full or event["timestamp"] - batch[0]["timestamp"] >= BATCH_SPAN_MS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += more
    if batch:
        yield batch


class Sender:
    def __init__(self, group, aws, instance_id):
        self.group, self.aws, self.instance_id = group, aws, instance_id

    def send(self, name, events):
        """Raises AwsError when CloudWatch did not take them and may do so later."""
        stream = f"{self.instance_id}/{name}"
        for batch in batches(events):
            try:
                self.put(stream, batch)
            except AwsError as error:
                if error.code != "InvalidParameterException":
                    raise
                say(f"{stream}: CloudWatch refuses {len(batch)} events, which are lost: {error}")

    def put(self, stream, batch):
        names = {"logGroupName": self.group, "logStreamName": stream}
        try:
            answer = self.aws.json("logs", "Logs_20140328.PutLogEvents", **names, logEvents=batch)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            self.create(names)
            answer = self.aws.json("logs", "Logs_20140328.PutLogEvents", **names, logEvents=batch)
        if answer.get("rejectedLogEventsInfo"):
            say(f"{stream}: CloudWatch has not taken all events: {answer['rejectedLogEventsInfo']}")

    def create(self, names):
        try:
            self.aws.json("logs", "Logs_20140328.CreateLogStream", **names)
        except AwsError as error:
            if error.code == "ResourceNotFoundException":
                raise AwsError(f"there is no log group {self.group}: run site.yml --tags compute", error.code) from None
            if error.code != "ResourceAlreadyExistsException":
                raise


class Agent:
    def __init__(self, orders, state):
        self.orders, self.state = orders, Path(state)
        known = json.loads(self.state.read_text()) if self.state.exists() else {}
        units = sorted({stream["unit"] for stream in orders["streams"] if stream.get("unit")})
        self.journal = Journal(units, known.get("cursor")) if units else None
        paths = sorted({stream["file"] for stream in orders["streams"] if stream.get("file")})
        self.files = [File(path, *known.get("files", {}).get(path, ())) for path in paths]
        self.streams = Streams(orders["streams"])
        self.sender = Sender(orders["group"], Aws(tries=1), metadata("meta-data/instance-id"))

    def step(self):
        """Send what has come. Returns whether there is more."""
        lines = self.journal.read() if self.journal else []
        for file in self.files:
            lines += file.read()
        for name, events in self.streams.events(lines).items():
            self.patiently(name, events)
        if lines:
            self.save()
        return any(source.full for source in (self.journal, *self.files) if source)

    def patiently(self, name, events):
        """Until it is there: meanwhile nothing more is read, journal and files keep it."""
        wait, most = RETRY_SECONDS
        while True:
            try:
                return self.sender.send(name, events)
            except AwsError as error:
                say(f"{error}; trying again in {wait} s")
                time.sleep(wait)
                wait = min(2 * wait, most)

    def save(self):
        files = {str(file.path): [file.inode, file.offset] for file in self.files}
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps({"cursor": self.journal.cursor if self.journal else None, "files": files}))
        fresh.rename(self.state)


class Stop(Exception):
    """systemd wants us to end."""


def main():
    def stop(number, frame):
        raise Stop

    agent = Agent(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
    # A stop while a batch is under way: it is sent again after the next start.
    signal.signal(signal.SIGTERM, stop)
    try:
        while True:
            # A backlog is sent without a break.
            if not agent.step():
                time.sleep(agent.orders["interval"])
    except Stop:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        agent.step()


if __name__ == "__main__":
    try:
        main()
    except AwsError as error:
        sys.exit(str(error))
