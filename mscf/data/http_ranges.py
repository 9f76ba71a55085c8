"""A file on a web server, read by parts over one kept connection.

Connections break, stall and lie; this goes on by range where it can, says where it
cannot, and never joins parts of two different files. Nothing is trusted but TLS: https
everywhere, plain http on this machine's loopback only (for tests).
"""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
)
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from mscf.errors import DownloadError

PATIENCE = 30.0  # seconds without a byte; then the connection is cut and made again
PAUSES = (0.5, 1, 2, 4, 8)  # seconds before each try that follows one without a byte
LONGEST_WAIT = 60.0  # seconds, whatever Retry-After asks for
MOST_REDIRECTS = 5
CHUNK = 1 << 20  # bytes
LOOPBACK = ("localhost", "127.0.0.1", "::1")
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 429, 500, 502, 503, 504)  # what a server gets over

sleep = time.sleep


class FileChanged(DownloadError):  # noqa: N818 (as its base has no suffix)
    """The server's file is no longer the one that was begun."""


class NoRanges(DownloadError):  # noqa: N818
    """The server sends whole files only."""


class Fault(Exception):  # noqa: N818 (it never leaves this file)
    """An answer that is of no use; the next may be."""

    def __init__(self, found: str, wait: float = 0.0) -> None:
        super().__init__(found)
        self.wait = wait


class RemoteFile:
    """One file of a server, by its address: https, without user and password.

    Its ETag and length are learnt from the first answer.
    """

    def __init__(self, address: str) -> None:
        check_address(address)
        self.address = address
        self.etag: str | None = None
        self.total: int | None = None  # bytes
        self.requests = self.moved = 0  # answers asked for, bytes of their bodies
        self._connections: dict[tuple[str, str], HTTPConnection] = {}
        self._reusable = True  # whether the last answer was read to its end

    @property
    def name(self) -> str:
        """The address as it may be shown: no query, which may hold a token."""
        return shown(self.address)

    def read(self, start: int, n: int) -> bytes:
        """``n`` bytes from ``start``; fewer where the file ends."""
        return b"".join(self.chunks(start, start + n))

    def chunks(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``end``, or to the end of the file.

        Where the server does not say how long the file is, they end when it stops
        sending: the caller knows whether that is all.

        Raises:
            FileChanged: the file is another one than before.
            NoRanges: a part was asked for and the whole file was sent.
            DownloadError: refused, or no byte in six tries.
        """
        at, failures = start, 0
        while not self._reached(at, end):
            fault = None
            try:
                for chunk in self._answer(at, end):
                    at += len(chunk)
                    failures = 0
                    yield chunk
                if end is None and self.total is None:
                    return
            except ssl.SSLCertVerificationError as error:
                raise self._refused("must have a valid certificate", error) from error
            except (OSError, HTTPException, Fault) as error:
                fault = error
            finally:
                self._drop_unread()
            if self._reached(at, end):
                return
            if failures == len(PAUSES):
                found = fault or "the connection ends early"
                raise self._refused(
                    "must send its bytes", f"{found}, {failures + 1} times",
                    "check the network and run again: what has come is kept",
                )  # fmt: skip
            sleep(max(PAUSES[failures], getattr(fault, "wait", 0.0)))
            failures += 1

    def close(self) -> None:
        """Ends the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _reached(self, at: int, end: int | None) -> bool:
        ends = [place for place in (end, self.total) if place is not None]
        return bool(ends) and at >= min(ends)

    def _answer(self, at: int, end: int | None) -> Iterator[bytes]:
        """The body of one answer, from ``at``; never more than was asked for."""
        part = at > 0 or end is not None
        headers = {"Accept-Encoding": "identity", "User-Agent": "mscf"}
        if part:
            headers["Range"] = f"bytes={at}-{'' if end is None else end - 1}"
            if self.etag and not self.etag.startswith("W/"):
                headers["If-Range"] = self.etag
        response = self._open(headers)
        if response.status == 416:
            self._check_beyond(response, at)
            return
        if response.status in PASSING:
            wait = retry_after(response.getheader("Retry-After"))
            raise Fault(f"{response.status} {response.reason}", wait)
        if response.status not in (200, 206):
            raise self._refused(
                "must be there for everybody", f"{response.status} {response.reason}",
                "check the address",
            )  # fmt: skip
        left = self._check_part(response, at) if response.status == 206 else None
        if response.status == 200:
            self._check_whole(response, part)
        if end is not None:
            left = end - at if left is None else min(left, end - at)
        while left is None or left > 0:
            chunk = response.read1(CHUNK if left is None else min(left, CHUNK))
            if not chunk:
                break
            self.moved += len(chunk)
            left = None if left is None else left - len(chunk)
            yield chunk
        if response.length == 0:
            response.close()
            self._reusable = True

    def _check_whole(self, response: HTTPResponse, part: bool) -> None:
        length = response.getheader("Content-Length") or ""
        total = int(length) if re.fullmatch(r"\d{1,18}", length) else None
        same = self._learn(response.getheader("ETag"), total)
        if not same:
            raise self._changed("another file: its ETag or length differs")
        if part:
            raise NoRanges(
                self.name, "must send parts of the file", "the whole file", "no-ranges"
            )

    def _check_part(self, response: HTTPResponse, at: int) -> int:
        """How many bytes of the wanted part the answer holds."""
        given = response.getheader("Content-Range") or ""
        match = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", given.strip()
        )
        if not match or int(match[1]) != at or int(match[2]) < at:
            raise Fault(f"another part than from {at:,}: {given or 'none named'}")
        total = None if match[3] == "*" else int(match[3])
        if not self._learn(response.getheader("ETag"), total):
            raise self._changed("another file: its ETag or length differs")
        return int(match[2]) - at + 1

    def _check_beyond(self, response: HTTPResponse, at: int) -> None:
        """416: nothing lies from there on; right only at the very end."""
        given = response.getheader("Content-Range") or ""
        match = re.fullmatch(r"bytes \*/(\d{1,18})", given.strip())
        total = int(match[1]) if match else self.total
        if total != at or not self._learn(response.getheader("ETag"), total):
            raise self._changed(f"a file of {total or 0:,} bytes, {at:,} have come")

    def _learn(self, etag: str | None, total: int | None) -> bool:
        """Whether an answer is of the same file; the first one says which."""
        if self.etag and etag:
            same = etag == self.etag
        else:
            same = None in (total, self.total) or total == self.total
        if same:
            self.etag = self.etag or etag
            self.total = self.total if total is None else total
        return same

    def _open(self, headers: dict[str, str]) -> HTTPResponse:
        """The answer, at most five redirects away."""
        address = self.address
        for _ in range(MOST_REDIRECTS + 1):
            response = self._send(address, headers)
            if response.status not in REDIRECTS:
                return response
            address = urljoin(address, response.getheader("Location") or "")
            check_address(address, self.address)
            self._drop_unread()
        raise self._refused("must be few redirects away", f"over {MOST_REDIRECTS}")

    def _send(self, address: str, headers: dict[str, str]) -> HTTPResponse:
        parts = urlsplit(address)
        key = parts.scheme, parts.netloc
        if key not in self._connections:
            self._connections[key] = connect(parts)
        connection = self._connections[key]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._reusable = False  # until its answer is read to the end
        self.requests += 1
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _drop_unread(self) -> None:
        """Ends the connections unless the last answer was read to its end."""
        if not self._reusable:
            self.close()

    def _changed(self, found: str) -> FileChanged:
        return FileChanged(self.name, "must stay as it was", found, "file-changed")

    def _refused(self, must: str, found: object, todo: str = "") -> DownloadError:
        return DownloadError(self.name, must, found, "download", todo)


def connect(parts: SplitResult) -> HTTPConnection:
    """A connection to a host, by the proxy that ``HTTPS_PROXY`` names if it does."""
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    context = ssl.create_default_context()
    proxy = getproxies().get("https")
    if not proxy or proxy_bypass(parts.netloc):
        return HTTPSConnection(
            parts.hostname, parts.port, timeout=PATIENCE, context=context
        )
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = HTTPSConnection(
        way.hostname, way.port or 80, timeout=PATIENCE, context=context
    )
    headers = {}
    if way.username:
        user = f"{unquote(way.username)}:{unquote(way.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user).decode()}"
    connection.set_tunnel(parts.hostname, parts.port or 443, headers)
    return connection


def check_address(address: str, start: str | None = None) -> None:
    """Refuses what is no https, or http on loopback where it all began there.

    Raises:
        DownloadError: another scheme, a user or password in it, no address at all.
    """
    try:
        parts = urlsplit(address)
        host, secret, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError as error:
        raise DownloadError("the address", "must be one", error, "address") from error
    if secret:
        raise DownloadError(
            shown(address), "must hold no user and no password", "some", "address"
        )
    local = parts.scheme == "http" and host in LOOPBACK
    if start is not None:
        local &= urlsplit(start).scheme == "http"
    plain = address.isascii() and address.isprintable() and " " not in address
    if not (host and plain and (parts.scheme == "https" or local)):
        raise DownloadError(
            shown(address), "must be an https address",
            f"{parts.scheme or 'no scheme'}", "address",
        )  # fmt: skip


def shown(address: str) -> str:
    """An address without user, password and query."""
    bare = re.split(r"[?#]", address, maxsplit=1)[0]
    return re.sub(r"//[^/]*@", "//", bare)


def retry_after(value: str | None) -> float:
    """Seconds that a server asks to wait, a number or a date; at most a minute."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
            seconds = (until - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)
