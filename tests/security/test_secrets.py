"""What must not leak: tokens into logs, names from headers into anything."""

import nibabel as nib
import pytest

pytestmark = pytest.mark.claim(
    "security", "no secret of the environment and no name in a header gets out"
)

TOKEN, PERSON = "hush-8c1f0a", "Erika-Mustermann"


def test_no_secret_of_the_environment_is_written_or_said(outputs) -> None:
    assert TOKEN not in outputs.said
    for name, content in outputs.contents().items():
        assert TOKEN.encode() not in content, name


def test_no_name_of_a_header_reaches_an_output(outputs) -> None:
    case = next((outputs.folder / "-rf;$(touch x)/imagesTr").iterdir())
    assert nib.load(case).header.extensions  # the mark is in what was read
    assert PERSON not in outputs.said
    for name, content in outputs.contents().items():
        assert PERSON[:12].encode() not in content, name
