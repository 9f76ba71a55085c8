"""Ten ways to interrupt a large download; each must end with the right file."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from server import chunked, cut, headed, serve, shorter, stall, status, untold

from mscf.data import http_ranges, part_file
from mscf.data.part_file import fetch_whole
from mscf.errors import DownloadError, StorageError

HELD = pytest.mark.claim(
    "downloads", "an interrupted download goes on where it was, or starts anew"
)
N = 200_000  # bytes that come before something happens


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The pauses between tries, which the tests do not make."""
    pauses = []
    monkeypatch.setattr(http_ranges, "sleep", pauses.append)
    return pauses


@pytest.fixture
def served(tmp_path, waits):
    content = os.urandom(1_000_448) + bytes(10240)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/file.tar").write_bytes(content)
    server, served = serve(tmp_path / "site/file.tar")
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out/file.tar"


def fetch(served, target) -> None:
    """Downloads; then only the right file is there."""
    fetch_whole(served.address, target, served.md5)
    assert target.read_bytes() == served.path.read_bytes()
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def ranges(served) -> list:
    return [entry["range"] for entry in served.log]


@HELD
def test_a_closed_connection_is_gone_on_with(served, target) -> None:
    served.faults.extend([cut(N), cut(N)])
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-", f"bytes={2 * N}-"]
    assert served.moved == served.path.stat().st_size


CHILD = """
import sys
from pathlib import Path
from mscf.data.part_file import fetch_whole
fetch_whole(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
"""


@HELD
def test_a_killed_process_is_gone_on_with(served, target) -> None:
    served.faults.append(stall(N, 20))
    arguments = [served.address, str(target), served.md5]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    part = part_file.Path(f"{target}.part")
    deadline = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < N:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-"]
    assert served.log[1]["if-range"] == served.etag


@HELD
def test_without_ranges_it_starts_anew_and_never_appends(
    served, target, capsys
) -> None:
    served.ranges = False
    served.faults.append(cut(N))
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-", None]
    assert "[no-ranges]" in capsys.readouterr().err


@HELD
@pytest.mark.parametrize(
    "given", ["bytes 5-9/1010688", "bytes 5-1010687/1010688", "nonsense", None]
)
def test_another_part_than_asked_for_is_thrown_away(given, served, target) -> None:
    served.faults.extend([cut(N), headed(Content_Range=given)])
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-", f"bytes={N}-"]


def test_six_wrong_parts_end_it_with_what_came_kept(served, target, waits) -> None:
    served.faults.extend([cut(N), *[headed(Content_Range=None)] * 6])
    with pytest.raises(DownloadError, match=r"6 times\); .*kept \[download\]"):
        fetch_whole(served.address, target, served.md5)
    assert waits == sorted(waits)
    assert target.with_name("file.tar.part").stat().st_size == N
    fetch(served, target)


@HELD
@pytest.mark.parametrize("listens", [True, False])
def test_a_file_that_changed_is_begun_anew(listens, served, target, capsys) -> None:
    served.faults.extend([cut(N), status(404)])
    with pytest.raises(DownloadError, match="404"):
        fetch_whole(served.address, target, served.md5)
    content = bytearray(served.path.read_bytes())
    content[0] ^= 1
    served.path.write_bytes(content)
    served.etag = '"two"'
    if not listens:  # a server that knows no If-Range sends the other file's part
        served.faults.append(lambda h: h.headers.__delitem__("If-Range"))
    fetch(served, target)
    assert ranges(served)[2:] == [f"bytes={N}-", None]
    assert "starting anew [file-changed]" in capsys.readouterr().err


@HELD
@pytest.mark.parametrize(
    ("more", "known", "asked"),
    [(0, True, []), (7, True, [None]), (0, False, [1]), (7, False, [8, None])],
)
def test_a_part_that_is_whole_is_taken_and_a_longer_one_is_not(
    more, known, asked, served, target
) -> None:
    size = served.path.stat().st_size
    note(
        served, target, served.path.read_bytes() + bytes(more), size if known else None
    )
    fetch(served, target)
    assert ranges(served) == [n and f"bytes={size - 1 + n}-" for n in asked]


def note(served, target, content: bytes, total: int | None = None) -> None:
    """What an earlier process has left."""
    target.with_name("file.tar.part").write_bytes(content)
    state = {"address": served.address, "etag": served.etag, "total": total}
    target.with_name("file.tar.part.json").write_text(json.dumps(state))


@HELD
def test_a_silent_connection_is_cut_and_gone_on_with(
    served, target, monkeypatch
) -> None:
    monkeypatch.setattr(http_ranges, "PATIENCE", 0.2)
    served.faults.append(stall(N, 2))
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-"]


@HELD
@pytest.mark.parametrize(
    ("code", "asked", "waited"),
    [(503, None, 1), (503, "3", 3), (429, None, 1), (429, "7200", 60), (500, "x", 1)],
)
def test_a_busy_server_is_waited_for(
    code, asked, waited, served, target, waits
) -> None:
    served.faults.extend([cut(N), status(code, Retry_After=asked)])
    fetch(served, target)
    assert waits == [0.5, waited]
    assert ranges(served)[1:] == [f"bytes={N}-"] * 2


def test_a_date_to_wait_for_is_understood() -> None:
    assert http_ranges.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert http_ranges.retry_after("Wed, 21 Oct 2215 07:28:00 GMT") == 60


@HELD
@pytest.mark.parametrize(
    "fault", [shorter(N), chunked(N, end=False), chunked(N, end=True), untold(N)]
)
def test_an_end_that_comes_too_early_is_seen(fault, served, target) -> None:
    served.faults.append(fault)
    fetch(served, target)
    assert ranges(served) == [None, f"bytes={N}-"]


@HELD
def test_a_bit_that_flipped_on_the_disk_is_found_once_and_begun_anew(
    served, target, capsys
) -> None:
    content = bytearray(served.path.read_bytes()[:N])
    content[77] ^= 4
    note(served, target, content)
    fetch(served, target)
    assert ranges(served) == [f"bytes={N}-", None]
    assert "[checksum]" in capsys.readouterr().err


@pytest.mark.claim("downloads", "a file with another checksum never gets its name")
def test_a_wrong_file_of_the_server_is_kept_as_bad(served, target) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch_whole(served.address, target, "0" * 32)
    assert caught.value.exit_code == 9
    assert "0" * 32 in str(caught.value)
    assert served.md5 in str(caught.value)
    assert [p.name for p in target.parent.iterdir()] == ["file.tar.bad"]
    assert ranges(served) == [None, None]


@pytest.mark.claim("downloads", "a file with another checksum never gets its name")
def test_a_file_that_is_there_is_verified_not_trusted(served, target) -> None:
    target.write_bytes(served.path.read_bytes()[:-1] + b"x")
    with pytest.raises(DownloadError, match="checksum"):
        fetch_whole(served.address, target, served.md5)
    target.write_bytes(served.path.read_bytes())
    fetch(served, target)
    assert served.log == []


@pytest.mark.claim("downloads", "a full disk is said before the download, with numbers")
def test_a_disk_too_small_is_said_before_anything_comes(
    served, target, monkeypatch
) -> None:
    monkeypatch.setattr(part_file.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(StorageError, match=r"0.0 GB free \(found: 0.0 GB") as caught:
        fetch_whole(served.address, target, served.md5)
    assert caught.value.exit_code == 7
    assert not target.exists()


class Usage:
    free = 1_500_000  # for the file, but not for what is unpacked from it
