# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is typed into a shell of Session Manager, and what is read back.

The shell sits behind a terminal: a line longer than 4095 bytes is cut, control characters act, output is text. So everything goes as
base64 in short lines, in both directions, and a small loop in the instance's own `sh` takes requests of a stated length.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shlex
import zipfile
from dataclasses import dataclass, field

# Well below the terminal's 4095.
LINE_BYTES = 1000
# A run of base64 of at least this length in a command's input (a module's zipped code) is kept on the instance under its digest.
PART_BYTES = 8192
PART = re.compile(rb"[A-Za-z0-9+/=]{%d,}" % PART_BYTES)
# How long an unused part stays on an instance.
PART_DAYS = 7


def bootstrap(nonce: str) -> bytes:
    """The first line: no echo, then the loop, which says `ready` and names the parts that the instance has already.

    The nonce appears in what is typed, too, but never behind its word.
    """
    loop = (
        'p=${HOME:-/nonexistent}/.cache/espalier-session; (umask 077; mkdir -p "$p") 2>/dev/null || p=; '
        f'[ -z "$p" ] || find "$p" -type f -mtime +{PART_DAYS} -delete; '
        # Behind the prompt of the shell that was.
        'printf "\\n%s-%s %s\\n" ready "$0" "$([ -z "$p" ] || echo yes $(ls "$p"))"; '
        'while read -r n && [ "$n" != end ]; do eval "$(head -c "$n" | base64 -d)"; done'
    )
    return f"stty -echo -onlcr; exec sh -c {shlex.quote(loop)} {nonce}\n".encode()


def ready_line(line: bytes, nonce: str) -> set[str] | None:
    """The parts that the instance has, None when the line is another; a set without "yes" means that it cannot keep any."""
    word, _, rest = line.strip().partition(b" ")
    return set(rest.decode().split()) if word == f"ready-{nonce}".encode() else None


def lines(text: bytes) -> bytes:
    """Base64 in lines that a terminal takes."""
    return b"".join(text[start : start + LINE_BYTES] + b"\n" for start in range(0, len(text), LINE_BYTES))


def armour(data: bytes) -> bytes:
    """Any bytes as lines that a terminal takes."""
    return lines(base64.b64encode(data))


def frame(script: str) -> bytes:
    """A script as the loop reads it: its length, then itself."""
    body = armour(script.encode())
    return f"{len(body)}\n".encode() + body


def undated(text: bytes) -> bytes:
    """The same base64 with the dates in its zip archive set to 1980: Ansible dates a module's archive anew in every run.

    What is not the base64 of a zip archive comes back as it is.
    """
    try:
        archive = bytearray(base64.b64decode(text, validate=True))
        with zipfile.ZipFile(io.BytesIO(archive)) as reader:
            members, position = reader.infolist(), reader.start_dir
    except (ValueError, zipfile.BadZipFile):
        return text
    start_of_1980 = b"\x00\x00\x21\x00"
    for member in members:
        archive[member.header_offset + 10 : member.header_offset + 14] = start_of_1980
        # The central directory's entries stand in a row; each states the lengths of its name, extra field and comment.
        name, extra, comment = (int.from_bytes(archive[position + at : position + at + 2], "little") for at in (28, 30, 32))
        archive[position + 12 : position + 16] = start_of_1980
        position += 46 + name + extra + comment
    return base64.b64encode(archive)


def split_parts(data: bytes) -> list[tuple[str, bytes]]:
    """Cut `data` into slices: those worth keeping with their SHA-256, the rest with an empty string."""
    slices, end = [], 0
    for match in PART.finditer(data):
        part = undated(match[0])
        slices += [("", data[end : match.start()]), (hashlib.sha256(part).hexdigest(), part)]
        end = match.end()
    slices.append(("", data[end:]))
    return [(digest, piece) for digest, piece in slices if piece]


def store_request(digest: str, part: bytes, nonce: str) -> bytes:
    """Keep one part on the instance. It takes its name only when its digest is right."""
    body = lines(part)
    script = (
        f't="$p/.{nonce}"; head -c {len(body)} | tr -d "\\n" >"$t"; '
        f'[ "$(sha256sum <"$t" | cut -c1-64)" = {digest} ] && mv -f "$t" "$p/{digest}"; '
        f'printf "r%s\\nend-%s\\n" "$?" {nonce}'
    )
    return frame(script) + body


def run_request(command: str, slices: list[tuple[str, bytes]], kept: set[str], nonce: str) -> bytes:
    """Run a command with `slices` (of `split_parts`) as its standard input; those whose digest is in `kept` are taken from the instance.

    Answers lines: o and base64 of standard output, e and base64 of standard error, r and the exit status, `end-` and the nonce.
    """
    feeds, bodies = [], []
    for digest, piece in slices:
        if digest in kept:
            feeds.append(f'cat "$p/{digest}"')
        else:
            body = armour(piece)
            feeds.append(f"head -c {len(body)} | base64 -d")
            bodies.append(body)
    # The last cat takes what the command left unread: it would be the loop's next request.
    script = (
        f"{{ {{ {{ {{ {'; '.join(feeds) or ':'}; }} | {{ sh -c {shlex.quote(command)} 3>&-; r=$?; cat >/dev/null; exit $r; }}; "
        "printf 'r%s\\n' \"$?\" >&3; } | base64 -w 900 | sed 's/^/o/' >&3; } 2>&1 | base64 -w 900 | sed 's/^/e/'; } 3>&1; "
        f"printf 'end-%s\\n' {nonce}"
    )
    return frame(script) + b"".join(bodies)


@dataclass
class Answer:
    """What a request's lines add up to."""

    code: int | None = None
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)

    def take(self, line: bytes, nonce: str) -> bool:
        """Take one line; true when it was the last. Lines of others (a broadcast to all terminals) are passed over."""
        line = line.rstrip(b"\r\n")
        if line == f"end-{nonce}".encode():
            return True
        kind, rest = line[:1], line[1:]
        if kind == b"r" and rest.isdigit():
            self.code = int(rest)
        elif kind in (b"o", b"e"):
            try:
                piece = base64.b64decode(rest, validate=True)
            except ValueError:
                return False
            (self.output if kind == b"o" else self.errors).extend(piece)
        return False
