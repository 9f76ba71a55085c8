import json

import pytest

from mscf.data.sealed import read_sealed, write_sealed

RECORD = {"name": "liver_0", "digits": [1, 2.5], "none": None}


def test_what_was_sealed_reads_back(tmp_path) -> None:
    path = tmp_path / "record.json"
    write_sealed(path, RECORD)
    assert read_sealed(path) == RECORD
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text)))  # as another program lays it out
    assert read_sealed(path) == RECORD
    write_sealed(path, read_sealed(path))
    assert path.read_text() == text


def test_what_was_changed_since_is_refused(tmp_path) -> None:
    path = tmp_path / "record.json"
    write_sealed(path, RECORD)
    path.write_text(path.read_text().replace("liver_0", "liver_1"))
    with pytest.raises(ValueError, match="its digest does not agree"):
        read_sealed(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no JSON object"):
        read_sealed(path)


def test_a_record_without_its_seal_is_refused(tmp_path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(RECORD))
    with pytest.raises(ValueError, match="its digest does not agree"):
        read_sealed(path)
