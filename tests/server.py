"""A web server on loopback that serves one file, with ranges, and misbehaves on demand.

Each request takes the next of ``faults``: a function that answers in the server's
place and says whether it did. ``log`` holds what was asked and how many bytes went out.
"""

import hashlib
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MORE = 1 << 16  # bytes sent at a time


@dataclass
class Served:
    """The file served, and how."""

    path: Path
    ranges: bool = True
    etag: str | None = '"one"'
    faults: deque[Callable] = field(default_factory=deque)
    log: list[dict] = field(default_factory=list)
    address: str = ""

    @property
    def moved(self) -> int:
        """Bytes of bodies that were sent."""
        return sum(entry["sent"] for entry in self.log)

    @property
    def md5(self) -> str:
        return hashlib.md5(self.path.read_bytes()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        served = self.server.served
        self.entry = {"range": self.headers.get("Range"), "sent": 0, "path": self.path}
        self.entry["if-range"] = self.headers.get("If-Range")
        served.log.append(self.entry)
        self.total = served.path.stat().st_size
        fault = served.faults.popleft() if served.faults else None
        try:
            if fault is None or not fault(self):
                self.answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def wanted(self) -> tuple[int, int] | None:
        """Start and end of the part to send; None for the whole file."""
        served, given = self.server.served, self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if not served.ranges or not given or condition not in (None, served.etag):
            return None
        first, last = given.removeprefix("bytes=").split("-")
        return int(first), min(int(last) + 1 if last else self.total, self.total)

    def answer(self, cut: int | None = None, **headers) -> None:
        """The file or its part as it should be; ``cut``: only so many bytes of it."""
        part = self.wanted()
        start, end = part or (0, self.total)
        if part and start >= self.total:
            return self.say(416, {"Content-Range": f"bytes */{self.total}"})
        status = 206 if part else 200
        said = {"Content-Length": end - start, "ETag": self.server.served.etag}
        if part:
            said["Content-Range"] = f"bytes {start}-{end - 1}/{self.total}"
        self.head(status, said | {k.replace("_", "-"): v for k, v in headers.items()})
        self.send(start, end if cut is None else min(start + cut, end))
        if cut is not None:
            self.hang_up()
        return None

    def say(self, status: int, headers: dict) -> None:
        self.head(status, {"Content-Length": 0, **headers})

    def head(self, status: int, headers: dict) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def send(self, start: int, end: int) -> None:
        with self.server.served.path.open("rb") as file:
            file.seek(start)
            while start < end:
                piece = file.read(min(MORE, end - start))
                self.wfile.write(piece)
                start += len(piece)
                self.entry["sent"] += len(piece)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def cut(n: int) -> Callable:
    """The connection ends after ``n`` bytes of the body."""
    return lambda handler: handler.answer(cut=n) or True


def stall(n: int, seconds: float) -> Callable:
    """After ``n`` bytes nothing comes for a while."""

    def fault(handler) -> bool:
        start, end = handler.wanted() or (0, handler.total)
        status = 206 if handler.wanted() else 200
        part = f"bytes {start}-{end - 1}/{handler.total}"
        etag = handler.server.served.etag
        headers = {"Content-Length": end - start, "ETag": etag}
        headers |= {"Content-Range": part} if status == 206 else {}
        handler.head(status, headers)
        handler.send(start, start + n)
        time.sleep(seconds)
        handler.hang_up()
        return True

    return fault


def status(code: int, **headers) -> Callable:
    """Another answer than the file."""
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.say(code, said) or True


def headed(**headers) -> Callable:
    """The answer with other headers; None leaves one out."""
    return lambda handler: handler.answer(**headers) or True


def shorter(n: int) -> Callable:
    """The whole file is said to have ``n`` bytes, and so many are sent."""

    def fault(handler) -> bool:
        etag = handler.server.served.etag
        handler.head(200, {"Content-Length": n, "ETag": etag})
        handler.send(0, n)
        return True

    return fault


def chunked(n: int, end: bool) -> Callable:
    """``n`` bytes in HTTP's chunks, with or without the chunk that says it is over."""

    def fault(handler) -> bool:
        handler.head(200, {"Transfer-Encoding": "chunked"})
        content = handler.server.served.path.read_bytes()[:n]
        handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        handler.entry["sent"] += len(content)
        if end:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.hang_up()
        return True

    return fault


def untold(n: int) -> Callable:
    """``n`` bytes without a length, up to the end of the connection."""

    def fault(handler) -> bool:
        handler.head(200, {"Connection": "close"})
        handler.send(0, n)
        handler.hang_up()
        return True

    return fault


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has gone is what is tested; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*_)


def serve(path: Path) -> tuple[Server, Served]:
    """A running server; the caller shuts it down."""
    server = Server(("127.0.0.1", 0), Handler)
    server.served = Served(path)
    host, port = server.server_address
    server.served.address = f"http://{host}:{port}/Task03_Liver.tar"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, server.served
