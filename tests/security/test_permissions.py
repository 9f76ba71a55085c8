"""What we write obeys the user's umask, under names that nobody can guess."""

import os
import stat

import pytest

from mscf import replacing as module
from mscf.replacing import replacing

UMASK = pytest.mark.claim(
    "security", "what is written obeys the user's umask, under names nobody can guess"
)


@UMASK
def test_outputs_obey_the_users_umask(outputs) -> None:
    assert len(outputs.made) > 30
    for path in outputs.made:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o027, f"{path}: {mode:o}"


@UMASK
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
def test_a_replaced_file_obeys_the_umask_and_is_nobodys_before(mask, tmp_path) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "file") as file:
            (part,) = tmp_path.glob(".file.*.part")
            file.write("x")
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    finally:
        assert os.umask(before) == mask


@UMASK
def test_reading_the_umask_opens_nothing_to_others(monkeypatch) -> None:
    """Another thread may make a file in between: it must not be world-writable."""
    seen = []
    set_mask = os.umask

    def watched(mask: int) -> int:
        seen.append(mask)
        return set_mask(mask)

    monkeypatch.setattr(os, "umask", watched)
    mask = module.current_umask()
    assert mask == seen[-1]
    assert all(one & mask == mask for one in seen)
    assert all(one & 0o022 for one in seen)


@UMASK
def test_temporary_names_cannot_be_guessed(tmp_path) -> None:
    names = set()
    for _ in range(20):
        with replacing(tmp_path / "file"):
            names |= {part.name for part in tmp_path.glob(".file.*.part")}
    assert len(names) == 20
    assert all(len(name) >= len(".file.12345678.part") for name in names)


@pytest.mark.claim("security", "a link in a file's place is replaced, not followed")
def test_a_link_under_the_files_name_is_replaced_and_not_followed(tmp_path) -> None:
    (tmp_path / "other").write_text("of somebody else")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    with replacing(tmp_path / "file") as file:
        file.write("ours")
    assert (tmp_path / "other").read_text() == "of somebody else"
    assert not (tmp_path / "file").is_symlink()
