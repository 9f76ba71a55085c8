import pytest
from typer.testing import CliRunner

from mscf.cli import app


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_methods_lists_every_network_with_its_parameters() -> None:
    result = run("methods")
    assert result.exit_code == 0
    assert "29,111,179" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--method", "unett"], 2, "error: method: must be a key of METHODS"),
        (["--image-size", "100"], 2, "[image-size]"),
        ([], 4, "[store-missing]"),
    ],
)
def test_a_bad_argument_is_one_line_and_an_exit_code(
    arguments, code, line, tmp_path
) -> None:
    result = run(
        "train", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run"),
        *arguments,
    )  # fmt: skip
    assert result.exit_code == code
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
