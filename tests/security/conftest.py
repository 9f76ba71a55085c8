"""One way from CT to tables under everything that an attacker or a mishap may bring.

Odd names, marked headers, tokens in the environment, a strict umask, no network: made
once, and looked at by one test for each promise.
"""

import csv
import importlib.util
import io
import os
import socket
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
NAMES = ["-rf;$(touch x)", "=cmd", "<script>", "+1", "@sum", "\ttab"]
FOLDER = "-rf;$(touch x)"  # also what the data's and the store's folders are called
TOKEN = "hush-8c1f0a"
PERSON = "Erika-Mustermann-1964"


class NetworkClosed(OSError):
    """Somebody wanted to connect."""


@dataclass
class Closed:
    """Who wanted to connect where, and was refused."""

    attempts: list[str] = field(default_factory=list)


def close_network(patch: pytest.MonkeyPatch) -> Closed:
    """Refuses every connection and every look-up of this process but loopback's."""
    closed = Closed()
    local = {"localhost", "127.0.0.1", "::1", None, ""}

    def refusing(method):
        def call(self, *arguments):
            address = arguments[-1]  # of sendto the last
            if self.family == socket.AF_UNIX or address[0] in local:
                return method(self, *arguments)
            closed.attempts.append(str(address))
            raise NetworkClosed(f"{address}")

        return call

    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, refusing(getattr(socket.socket, name)))
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **options):
        if host in local:
            return look_up(host, *arguments, **options)
        closed.attempts.append(str(host))
        raise NetworkClosed(f"{host}")

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    return closed


@pytest.fixture
def closed(monkeypatch) -> Closed:
    return close_network(monkeypatch)


class Encoder(nn.Module):
    """An encoder that asks for ImageNet weights as ours do, and has none of them."""

    def __init__(self, pretrained: bool) -> None:
        from mscf.models.encoder import ResNet34_Weights, load_imagenet

        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=8, padding=1)
        self.loaded = pretrained and load_imagenet(self, ResNet34_Weights.DEFAULT)

    def forward(self, x):
        return self.down(x)


class SmallNetwork(nn.Module):
    """A network that a test can wait for."""

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = Encoder(pretrained)
        self.up = nn.ConvTranspose2d(8, 1, 8, stride=8)
        self.last = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.last(self.up(self.encoder(x)))

    def heads(self):
        return [self.last]


@dataclass
class Outputs:
    """A folder in which everything was made, and what was said meanwhile."""

    folder: Path
    said: str
    attempts: dict[str, list[str]]

    @property
    def store(self) -> Path:
        return self.folder / "store" / FOLDER

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def place(self) -> Path:
        return self.folder / "results" / FOLDER / "patient"

    @property
    def made(self) -> list[Path]:
        """All files and folders that were written, the cases not."""
        tops = [self.folder / name for name in ("store", "run", "results")]
        return [path for top in tops for path in (top, *top.rglob("*"))]

    def contents(self) -> dict[str, bytes]:
        """The bytes of every file written, archives unpacked."""
        found = {}
        for path in self.made:
            if path.suffix == ".npz":
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        found[f"{path}:{name}"] = archive.read(name)
            elif path.is_file():
                found[str(path)] = path.read_bytes()
        return found

    def tables(self) -> dict[str, list[list[str]]]:
        """The cells of every CSV written, as a spreadsheet splits them."""
        return {
            str(path.relative_to(self.folder)): list(
                csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
            )
            for path in self.made
            if path.suffix == ".csv"
        }


def marked_cases(source: Path, target: Path) -> None:
    """The cases of ``source`` under odd names, a person's name in every header."""
    rows = [["case", "patient", "spacing_known"]]
    for number, name in enumerate(NAMES):
        for kind in ("imagesTr", "labelsTr"):
            (target / kind).mkdir(parents=True, exist_ok=True)
            image = nib.load(source / kind / f"liver_{number}.nii.gz")
            made = nib.Nifti1Image(image.dataobj, image.affine, image.header)
            made.header["descrip"] = made.header["aux_file"] = PERSON.encode()
            made.header["db_name"] = made.header["intent_name"] = PERSON[:15].encode()
            comment = nib.nifti1.Nifti1Extension("comment", PERSON.encode())
            made.header.extensions.append(comment)
            nib.save(made, target / kind / f"{name}.nii.gz")
        rows.append([name, f"={name}", "true"])
    with (target / "patients.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def script(name: str) -> typer.Typer:
    """One of ``data_scripts`` as a command."""
    path = ROOT / f"data_scripts/{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = typer.Typer()
    app.command()(module.main)
    return app


@pytest.fixture(scope="session")
def outputs(tiny_cases, tmp_path_factory) -> Outputs:
    """What prepare, train, keep_run and make_tables leave; do not write here."""
    from mscf.cli import app
    from mscf.kept import finished_run
    from mscf.training import start

    folder = tmp_path_factory.mktemp("odd")
    marked_cases(tiny_cases, folder / FOLDER)
    said, attempts = "", {}
    store = f"store/{FOLDER}"
    options = "--size", "192", "--processes", "1"
    commands = {
        "prepare": (script("prepare"), [*options, "--", FOLDER, store]),
        "train": (
            app,
            ["train", f"--data={store}", "--out=run", "--gpus=0", "--epochs=1",
             "--batch-size=4"],
        ),
        "keep_run": (script("keep_run"), ["run", "results"]),
        "make_tables": (script("make_tables"), [f"results/{FOLDER}/patient"]),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MSCF_TOKEN", TOKEN)
        patch.setenv("USER", PERSON)
        patch.setenv("HTTPS_PROXY", f"http://user:{TOKEN}@proxy.invalid:8080")
        patch.setenv("DATA_URL", f"https://user:{TOKEN}@data.invalid/?key={TOKEN}")
        for place in (start, finished_run):
            patch.setattr(
                place, "build", lambda _, pretrained=False: SmallNetwork(pretrained)
            )
        patch.setattr(torch.hub, "_hub_dir", str(folder / "no cache"))
        mask = os.umask(0o027)
        closed = close_network(patch)
        try:
            for name, (command, arguments) in commands.items():
                closed.attempts = []
                result = CliRunner().invoke(command, arguments)
                assert result.exit_code == 0, result.output
                said += result.output + result.stderr
                attempts[name] = closed.attempts
        finally:
            os.umask(mask)
    return Outputs(folder, said, attempts)


@pytest.fixture
def small(monkeypatch) -> None:
    """Trains the small network in place of every method."""
    from mscf.training import start

    monkeypatch.setattr(
        start, "build", lambda _, pretrained=False: SmallNetwork(pretrained)
    )
