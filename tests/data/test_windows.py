"""What mscf.data stands on Windows has not; every command says so before it begins."""

from types import SimpleNamespace

import pytest
import typer

from mscf import cli, command


@pytest.mark.parametrize("of", ["mscf", "data_scripts"])
def test_on_windows_every_command_names_wsl_in_one_line(
    of, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(command, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr("sys.argv", [of, "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main() if of == "mscf" else command.run_script(lambda: typer.echo("begun"))
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("error: system: must be Linux or macOS")
    assert "WSL" in said.err
    assert said.err.count("\n") == 1
