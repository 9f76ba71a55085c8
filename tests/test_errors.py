import errno
import os
import pickle

import pytest

from mscf.errors import InputError, MscfError, cannot_write


def test_an_error_is_one_line_naming_file_and_check() -> None:
    error = InputError("a\nb.nii", "must be whole", 3, "gz-truncated", "copy it again")
    expected = "a\\nb.nii: must be whole (found: 3); copy it again [gz-truncated]"
    assert str(error) == expected


def test_an_error_crosses_processes_unchanged() -> None:
    error = InputError("a.nii", "must be whole", 3, "gz-truncated")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InputError
    assert str(again) == str(error)


def test_every_class_has_its_own_exit_code() -> None:
    codes = [child.exit_code for child in MscfError.__subclasses__()]
    assert len(codes) == len(set(codes))
    assert not {0, 1} & set(codes)


@pytest.mark.parametrize(
    ("number", "todo"),
    [
        (errno.ENOSPC, "free some space and run again"),
        (errno.EEXIST, "choose another folder"),
        (errno.EACCES, "choose another folder"),
        (errno.ENOENT, "choose another folder, or was this one moved or deleted?"),
    ],
)
def test_what_helps_goes_by_what_the_system_says(number, todo) -> None:
    error = cannot_write("store", OSError(number, os.strerror(number)))
    expected = f"store: must be writable (found: {os.strerror(number)}); {todo}"
    assert str(error) == f"{expected} [storage]"
