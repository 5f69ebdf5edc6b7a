"""A steady load of keep-alive clients, and what they felt: `python -m tests.rehearse.load URL SECONDS` or `Load` in a test.

Requests start on a timetable, whether earlier ones are answered or not, and their time counts from the timetable: a stall is felt by
everyone who would have asked meanwhile. Nothing is tried again, with one exception that every HTTP client makes: a kept connection that
the server has closed before anything was sent on it is replaced.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

TIMEOUT_SECONDS = 30
POST_EVERY = 10


@dataclass
class Felt:
    """Seconds of every answer, and every failure."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)

    def quantile(self, part: float) -> float:
        times = sorted(self.times)
        return times[min(int(len(times) * part), len(times) - 1)] if times else 0.0

    def summary(self) -> str:
        p50, p99, longest = (1000 * self.quantile(part) for part in (0.5, 0.99, 1.0))
        asked = len(self.times) + len(self.failures)
        times = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms"
        return f"{asked} requests, {len(self.failures)} failed, {times}, {dict(self.statuses)}"


class Connection:
    """One kept connection."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.reader is None or self.reader.at_eof() or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        try:
            self.writer.write(request)
            await self.writer.drain()
            return await self.answer()
        except BaseException:
            self.close()
            raise

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split()[1]), headers, body

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Load:
    """GET and, every tenth time, POST of the reference project's form, `rate` times a second over `connections` kept connections."""

    def __init__(self, url: str, rate: int = 100, connections: int = 30) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.origin = parts.hostname, parts.port or 80, f"{parts.scheme}://{parts.netloc}"
        self.rate, self.connections = rate, connections
        self.felt, self.stopping = Felt(), threading.Event()
        self.form = b""

    def request(self, method: str, body: str = "", headers: str = "") -> bytes:
        return (
            f"{method} / HTTP/1.1\r\nHost: {self.origin.partition('//')[2]}\r\nConnection: keep-alive\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def prepare(self) -> None:
        """The form's token and cookie, once: they stay valid, whichever release answers."""
        status, headers, body = await Connection(self.host, self.port).ask(self.request("GET"))
        page = body.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        cookie = re.search(r"csrftoken=(\w+)", headers.get("set-cookie", ""))
        assert status == 200 and token and cookie, f"the page has no form: {status}"
        fields = re.findall(r"<(?:input|textarea)[^>]*\bname=\"(\w+)\"", page)
        form = urlencode({**dict.fromkeys(fields, "steady load"), "csrfmiddlewaretoken": token[1]})
        more = f"Cookie: csrftoken={cookie[1]}\r\nOrigin: {self.origin}\r\nReferer: {self.origin}/\r\n"
        more += "Content-Type: application/x-www-form-urlencoded\r\n"
        self.form = self.request("POST", form, more)
        self.rows_before = self.rows(page)

    @staticmethod
    def rows(page: str) -> int:
        """How many entries the guest book has, as its page says."""
        return int(re.search(r"<h2>(\d+) entr", page)[1])

    async def one(self, number: int, planned: float, pool: asyncio.Queue[Connection]) -> None:
        post = number % POST_EVERY == 0
        connection = await pool.get()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, _, _ = await connection.ask(self.form if post else self.request("GET"))
            self.felt.statuses[status] += 1
            if status == (302 if post else 200):
                self.felt.times.append(time.monotonic() - planned)
            else:
                self.felt.failures.append(f"{'POST' if post else 'GET'} answered {status}")
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.felt.failures.append(f"{'POST' if post else 'GET'}: {error!r}")
        finally:
            pool.put_nowait(connection)

    async def run(self) -> None:
        await self.prepare()
        pool: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(self.connections):
            pool.put_nowait(Connection(self.host, self.port))
        began, running, number = time.monotonic(), set(), 0
        while not self.stopping.is_set():
            planned = began + number / self.rate
            await asyncio.sleep(max(0.0, planned - time.monotonic()))
            task = asyncio.create_task(self.one(number, planned, pool))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        await asyncio.gather(*running)
        _, _, body = await Connection(self.host, self.port).ask(self.request("GET"))
        lost = self.felt.statuses[302] - (self.rows(body.decode()) - self.rows_before)
        if lost > 0:
            self.felt.failures.append(f"{lost} entries that were answered are not in the database")

    def __enter__(self) -> Load:
        self.error: BaseException | None = None

        def work() -> None:
            try:
                asyncio.run(self.run())
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        self.thread.join(TIMEOUT_SECONDS + 10)
        if self.error:
            raise self.error


if __name__ == "__main__":
    with Load(sys.argv[1]) as load:
        time.sleep(float(sys.argv[2]))
    print(load.felt.summary(), *load.felt.failures[:20], sep="\n")
