"""Cases of MSD out of the middle of its tar, and the whole of it."""

import json
import tarfile
import time

import numpy as np
import pytest
from msd_tar import add, layout, noise, table, volume, write_tar
from server import cut, serve, status

from mscf.data import http_ranges
from mscf.data.cases import find_cases
from mscf.data.download import download, patients
from mscf.data.sealed import read_sealed, write_sealed
from mscf.data.volume import read_labels, read_volume
from mscf.errors import DownloadError, SettingsError, StorageError

PARTS = pytest.mark.claim(
    "downloads", "a few cases move little more than their own bytes and the headers"
)
SOUND = pytest.mark.claim("downloads", "a damaged file of the archive gets no name")
AGAIN = pytest.mark.claim(
    "downloads", "a second call finds what is whole, and fetches only what is not"
)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Serves a tar with given files; several in a test, one after another."""
    monkeypatch.setattr(http_ranges, "sleep", lambda _: None)
    servers = []

    def start(files=None, **options):
        path = tmp_path / f"site-{len(servers)}.tar"
        server, served = serve(write_tar(path, files or layout(6, 2), **options))
        servers.append(server)
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files_in(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def subset(*numbers: int) -> list[str]:
    volumes = [f"{f}Tr/liver_{n}.nii.gz" for f in ("images", "labels") for n in numbers]
    described = ["README.txt", "dataset.json", "download.json", "patients.csv"]
    return sorted([*described, "tar_index.json", *volumes])


def test_cases_known_to_be_of_one_person_carry_the_name_of_the_first() -> None:
    person = {1: 0, 7: 6, 9: 8, 10: 8}
    rows = [f"liver_{n},liver_{person.get(n, n)},true\n" for n in range(11)]
    table = "case,patient,spacing_known\n" + "".join(rows)
    assert patients([f"liver_{n}.nii.gz" for n in range(11)]) == table


@pytest.mark.parametrize("mac", [False, True])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_the_first_cases_by_number_become_a_folder_of_cases(
    mac, form, site, tmp_path, capsys
) -> None:
    files = dict(layout(12, 2))
    served = site(list(files.items()), mac=mac, form=form)
    said = download(tmp_path / "out", 3, served.address)
    assert "first 3 labelled cases (liver_0, liver_1, liver_2), no others" in said
    assert files_in(tmp_path / "out") == subset(0, 1, 2)
    cases = find_cases(tmp_path / "out")
    assert [case.name for case in cases] == ["liver_0", "liver_1", "liver_2"]
    assert [case.patient for case in cases] == ["liver_0", "liver_0", "liver_2"]
    assert capsys.readouterr().err == ""
    for case in cases:
        assert case.image.read_bytes() == files[f"imagesTr/{case.image.name}"]
        assert case.label.read_bytes() == files[f"labelsTr/{case.label.name}"]


def test_the_folder_says_what_it_is_a_part_of_and_its_licence(site, tmp_path) -> None:
    served = site()
    download(tmp_path / "out", 2, served.address + "?token=hush")
    said = json.loads((tmp_path / "out/dataset.json").read_text())
    assert said["subset"] == "2 of 6 labelled cases, the first by number"
    assert (said["numTraining"], said["numTest"], said["test"]) == (2, 0, [])
    text = (tmp_path / "out/README.txt").read_text()
    assert "CC BY-SA 4.0" in text
    assert served.address in text
    assert "the first 2 labelled cases (liver_0, liver_1)" in text
    for path in (tmp_path / "out").rglob("*.*"):
        assert path.is_dir() or b"hush" not in path.read_bytes()


def test_a_patients_table_corrected_by_hand_stays(site, tmp_path) -> None:
    served = site()
    download(tmp_path / "out", 2, served.address)
    (tmp_path / "out/patients.csv").write_text(
        "case,patient,spacing_known\nliver_0,a,true\nliver_1,b,true\nliver_2,c,false\n"
    )
    download(tmp_path / "out", 3, served.address)
    patients = [case.patient for case in find_cases(tmp_path / "out")]
    assert patients == ["a", "b", "c"]


@PARTS
@pytest.mark.parametrize("mac", [False, True])
def test_three_cases_move_little_more_than_their_bytes(
    mac, site, tmp_path, shows
) -> None:
    files = layout(115, 70, make=noise)
    for n in range(3):
        for folder, shape in (("images", (128, 128, 16)), ("labels", (64, 64, 16))):
            name = f"{folder}Tr/liver_{n}.nii.gz"
            files[[name for name, _ in files].index(name)] = name, volume(n, shape)
    served = site(files, mac=mac, form=tarfile.PAX_FORMAT)
    download(tmp_path / "out", 3, served.address)
    needed = wanted_bytes(served.path, 3)
    assert len(files) == 301
    assert served.moved <= 1.1 * needed
    assert len(served.log) <= len(files) + 20
    shows(shown=f"{served.moved / needed:.3f} of it, {len(served.log)} requests")


def wanted_bytes(path, cases: int) -> int:
    """The wanted files and all headers, with macOS's small files between those."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    small = [m.size for m in members if m.name.split("/")[-1].startswith("._")]
    headers = sum(m.offset_data - m.offset for m in members)
    names = {f"liver_{n}.nii.gz" for n in range(cases)}
    wanted = [
        m.size for m in members
        if "Tr/" in m.name and m.name.split("/")[-1] in names
    ]  # fmt: skip
    assert len(wanted) == 2 * cases
    return sum(wanted) + headers + sum(-(-size // 512) * 512 for size in small)


@PARTS
@pytest.mark.check
def test_three_cases_of_27_gigabytes(tmp_path, shows) -> None:
    """The real size: files that are not asked for are holes in the tar on this disk."""
    rng = np.random.default_rng(0)
    path = tmp_path / "site.tar"
    real = {
        f"{folder}Tr/liver_{n}.nii.gz": volume(n, (512, 512, 40), values)
        for folder, values in (("images", (-200, 200)), ("labels", (0, 3)))
        for n in range(3)
    }
    with path.open("wb") as file:
        for name, content in layout(131, 70, make=noise):
            size = rng.integers(60e6, 200e6) if "images" in name else 300_000
            content = real.get(name, content if name.endswith("json") else None)
            for twin in (True, False):
                last = name.split("/")[-1]
                full = (
                    f"Task03_Liver/{name.replace(last, '._' + last if twin else last)}"
                )
                info = tarfile.TarInfo(full)
                info.size = 220 if twin else len(content or b"") or int(size)
                file.write(info.tobuf(tarfile.USTAR_FORMAT))
                file.write(b"" if twin or content is None else content)
                used = 0 if twin or content is None else len(content)
                file.seek(-(-info.size // 512) * 512 - used, 1)
        file.truncate(file.tell() + 10240)
    server, served = serve(path)
    before = time.monotonic()
    try:
        download(tmp_path / "out", 3, served.address)
    finally:
        server.shutdown()
        server.server_close()
    seconds = time.monotonic() - before
    needed = wanted_bytes(path, 3)
    assert path.stat().st_size > 20e9
    assert served.moved <= 1.1 * needed
    assert len(find_cases(tmp_path / "out")) == 3
    for case in find_cases(tmp_path / "out"):
        read_labels(case.label, read_volume(case.image))
    shows(
        shown=f"{served.moved / 1e6:.0f} MB of {path.stat().st_size / 1e9:.0f} GB in "
        f"{len(served.log)} requests, {served.moved / needed:.3f} of what it must be, "
        f"{seconds:.0f} s on loopback"
    )


def test_the_whole_tar_becomes_a_folder_of_cases(site, tmp_path) -> None:
    files = layout(6, 2)
    served = site(files, mac=True, form=tarfile.PAX_FORMAT)
    out = tmp_path / "out"
    said = download(out, None, served.address, served.md5)
    assert "all 6 labelled cases" in said
    assert len(find_cases(out)) == 6
    for name, content in files:
        if name != "dataset.json":
            assert (out / name).read_bytes() == content
    assert json.loads((out / "dataset.json").read_text()) == json.loads(table(6, 2))
    assert len(served.log) == 1


@AGAIN
@pytest.mark.parametrize("cases", [3, None])
def test_a_second_call_asks_for_nothing(cases, site, tmp_path) -> None:
    served = site()
    out = tmp_path / "out"
    download(out, cases, served.address, served.md5)
    before = len(served.log), {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert "complete and unchanged" in download(out, cases, served.address, served.md5)
    assert (
        len(served.log),
        {p: p.stat().st_mtime_ns for p in out.rglob("*")},
    ) == before


@AGAIN
def test_more_cases_need_no_headers_again(site, tmp_path) -> None:
    served = site()
    download(tmp_path / "out", 2, served.address)
    asked = len(served.log)
    download(tmp_path / "out", 4, served.address)
    assert len(served.log) - asked == 1 + 1 + 4  # length, table, two cases
    assert files_in(tmp_path / "out") == subset(0, 1, 2, 3)
    assert "4 labelled" in download(tmp_path / "out", 3, served.address)
    assert files_in(tmp_path / "out") == subset(0, 1, 2, 3)


@AGAIN
@pytest.mark.parametrize(
    "damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"x")]
)
@pytest.mark.parametrize("cases", [3, None])
def test_a_file_lost_or_changed_is_fetched_alone(damage, cases, site, tmp_path) -> None:
    served = site()
    out = tmp_path / "out"
    download(out, cases, served.address, served.md5)
    (out / "Task03_Liver.tar").unlink(missing_ok=True)
    good = {p: p.read_bytes() for p in out.glob("*Tr/*")}
    path = out / "imagesTr/liver_2.nii.gz"
    damage(path)
    before = {p: p.stat().st_mtime_ns for p in good if p != path}
    moved = served.moved
    download(out, cases, served.address, served.md5)
    assert {p: p.read_bytes() for p in good} == good
    assert {p: p.stat().st_mtime_ns for p in good if p != path} == before
    assert served.moved - moved < path.stat().st_size + 20 * 1024


@AGAIN
def test_files_that_were_whole_when_it_broke_are_not_fetched_again(
    site, tmp_path
) -> None:
    served = site()
    download(tmp_path / "other", 3, served.address)
    asked = len(served.log)
    served.log.clear()
    served.faults.extend([lambda _: False] * (asked - 3) + [status(404)])
    with pytest.raises(DownloadError, match="404"):
        download(tmp_path / "out", 3, served.address)
    first = {e["range"] for e in served.log[:-1]}
    whole = [p for p in files_in(tmp_path / "out") if p.endswith(".nii.gz")]
    assert 0 < len(whole) < 6
    asked = len(served.log)
    download(tmp_path / "out", 3, served.address)
    again = {e["range"] for e in served.log[asked:]}
    assert len(served.log) - asked == 2 + 6 - len(whole)
    assert len(first & again) <= 2
    assert files_in(tmp_path / "out") == subset(0, 1, 2)


def test_a_broken_connection_in_a_case_is_gone_on_with(site, tmp_path) -> None:
    served = site()
    served.faults.extend([lambda _: False] * 12 + [cut(700), cut(100), status(503)])
    download(tmp_path / "out", 3, served.address)
    assert files_in(tmp_path / "out") == subset(0, 1, 2)


def test_a_server_without_ranges_is_said_and_nothing_stays(site, tmp_path) -> None:
    served = site()
    served.ranges = False
    with pytest.raises(DownloadError, match=r"without --cases \[no-ranges\]"):
        download(tmp_path / "out", 3, served.address)
    assert not (tmp_path / "out").exists()


def test_a_file_that_changes_between_is_indexed_anew(site, tmp_path, capsys) -> None:
    served = site()
    download(tmp_path / "out", 2, served.address)
    other = layout(6, 2, seed=1)
    place = [name for name, _ in other].index("imagesTr/liver_1.nii.gz")
    other[place] = ("imagesTr/liver_1.nii.gz", volume(99))
    write_tar(served.path, other)
    served.etag = '"two"'
    download(tmp_path / "out", 3, served.address)
    assert "[file-changed]" in capsys.readouterr().err
    for name, content in other:
        if name[-8] in "012" and "Tr" in name:
            assert (tmp_path / "out" / name).read_bytes() == content


def test_an_index_that_does_not_fit_is_made_again(site, tmp_path) -> None:
    """The server's file has changed, its ETag and length have not."""
    served = site()
    download(tmp_path / "out", 2, served.address)
    path = tmp_path / "out/tar_index.json"
    known = read_sealed(path)
    rows = [row for row in known["members"] if row[0] == "imagesTr/liver_2.nii.gz"]
    rows[0][1] += 512
    write_sealed(path, known)
    download(tmp_path / "out", 3, served.address)
    assert files_in(tmp_path / "out") == subset(0, 1, 2)


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


@SOUND
@pytest.mark.parametrize("cases", [3, None])
@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (lambda c: flipped(c, len(c) // 2), "gz-corrupt"),
        (lambda c: flipped(c, -8), "gz-corrupt"),
        (lambda c: c[:-4], "gz-truncated"),
        (lambda c: b"<html>not found</html>", "gz-corrupt"),
        (lambda c: b"", "gz-truncated"),
    ],
)  # fmt: skip
def test_a_damaged_member_is_refused(damage, check, cases, site, tmp_path) -> None:
    files = [
        (name, damage(content) if name == "imagesTr/liver_1.nii.gz" else content)
        for name, content in layout(4)
    ]
    served = site(files)
    with pytest.raises(DownloadError, match=rf"imagesTr/liver_1.nii.gz: .*\[{check}\]"):
        download(tmp_path / "out", cases, served.address, served.md5)
    here = files_in(tmp_path / "out")
    assert "imagesTr/liver_1.nii.gz" not in here
    assert "dataset.json" not in here
    assert not [name for name in here if name.endswith(".part")]


@SOUND
@pytest.mark.parametrize("cases", [3, None])
def test_a_tar_that_is_cut_is_refused(cases, site, tmp_path) -> None:
    served = site(layout(4))
    size = served.path.stat().st_size
    with served.path.open("r+b") as file:
        file.truncate(size // 1024 * 512 + 100)
    with pytest.raises(DownloadError, match=r"\[archive-(damaged|size)\]"):
        download(tmp_path / "out", cases, served.address, served.md5)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"training": 3}', b"", table(2)])
def test_a_table_that_does_not_list_the_cases_is_refused(
    content, site, tmp_path
) -> None:
    files = [(n, content if n == "dataset.json" else c) for n, c in layout(4)]
    with pytest.raises(DownloadError, match=r"\[dataset-json\]"):
        download(tmp_path / "out", 3, site(files).address)


@pytest.mark.parametrize("cases", [0, -1, 7])
def test_more_cases_than_there_are_or_none_are_a_setting_out_of_range(
    cases, site, tmp_path
) -> None:
    with pytest.raises(SettingsError, match=r"--cases: must be at (least 1|most 6)"):
        download(tmp_path / "out", cases, site().address)


def test_a_folder_with_other_things_is_left_alone(site, tmp_path) -> None:
    (tmp_path / "out/imagesTr").mkdir(parents=True)
    (tmp_path / "out/imagesTr/liver_0.nii.gz").write_bytes(b"mine")
    served = site()
    with pytest.raises(StorageError, match=r"\[folder-other\]"):
        download(tmp_path / "out", 2, served.address)
    assert (tmp_path / "out/imagesTr/liver_0.nii.gz").read_bytes() == b"mine"
    assert served.log == []


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/a.tar", "file:///etc/passwd", "http://example.org/a.tar",
        "https://user:hush@example.org/a.tar", "https://hush@example.org/a.tar",
        "https:///a.tar", "https://[::1/a.tar", "a.tar", "", "https://x/a b",
        "https://x/a\r\nX: y",
    ],
)  # fmt: skip
@pytest.mark.claim("downloads", "only https is asked, and no password is sent or shown")
def test_other_addresses_are_refused_unasked(address, tmp_path) -> None:
    for cases in (3, None):
        with pytest.raises(DownloadError, match=r"\[address\]") as caught:
            download(tmp_path / "out", cases, address)
        assert "hush" not in str(caught.value)
        assert not (tmp_path / "out").exists()


@pytest.mark.claim("downloads", "only https is asked, and no password is sent or shown")
@pytest.mark.parametrize(
    "place",
    ["ftp://127.0.0.1/a", "file:///etc/passwd", "http://example.org/a", "//u:p@x/a"],
)
def test_a_redirect_to_another_scheme_is_refused(place, site, tmp_path) -> None:
    served = site()
    served.faults.append(status(302, Location=place))
    with pytest.raises(DownloadError, match=r"\[address\]"):
        download(tmp_path / "out", 3, served.address)


def test_a_redirect_is_followed_five_times_at_most(site, tmp_path) -> None:
    served = site()
    served.faults.extend([status(302, Location="/else.tar")] * 5)
    download(tmp_path / "out", 2, served.address)
    assert [e["path"] for e in served.log[:6]] == ["/Task03_Liver.tar"] + [
        "/else.tar"
    ] * 5
    served.faults.extend([status(302, Location="/else.tar")] * 6)
    with pytest.raises(DownloadError, match="over 5"):
        download(tmp_path / "other", 2, served.address)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_what_is_not_there_is_said_at_once(code, site, tmp_path) -> None:
    for cases in (3, None):
        served = site()
        served.faults.extend([status(code)] * 3)
        with pytest.raises(DownloadError, match=f"{code}"):
            download(tmp_path / "out", cases, served.address)
        assert len(served.log) == 1
        assert not (tmp_path / "out").exists()


def test_files_of_another_place_are_left_out_and_said(site, tmp_path, capsys) -> None:
    served = site()
    with tarfile.open(served.path, "a") as tar:
        add(tar, "Task03_Liver/notes.txt", b"hello")
        add(tar, "Task03_Liver/.DS_Store", b"hidden")
    download(tmp_path / "out", 3, served.address)
    (line,) = capsys.readouterr().err.splitlines()
    assert "Task03_Liver/notes.txt" in line
    assert files_in(tmp_path / "out") == subset(0, 1, 2)
