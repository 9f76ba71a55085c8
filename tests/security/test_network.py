"""Nothing connects unless asked, and what was asked for goes on without."""

import json
import socket
import subprocess
import sys

import pytest

CLOSED = pytest.mark.claim(
    "security", "nothing connects to the network unless it was asked to"
)


def test_a_closed_network_lets_loopback_pass(closed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    assert closed.attempts == []
    with pytest.raises(OSError, match="example"):
        socket.create_connection(("example.org", 443))
    with pytest.raises(OSError, match="192"):
        socket.create_connection(("192.0.2.1", 443))
    assert len(closed.attempts) == 2


@CLOSED
def test_preparing_keeping_and_tables_connect_to_nobody(outputs) -> None:
    attempts = dict(outputs.attempts)
    attempts.pop("train")
    assert attempts == {"prepare": [], "keep_run": [], "make_tables": []}


@pytest.mark.claim(
    "machine", "without a network a run goes on with random weights, and says so"
)
def test_imagenet_weights_out_of_reach_are_said_and_recorded(outputs) -> None:
    assert outputs.attempts["train"]  # on by default, so it was tried
    assert json.loads((outputs.run / "run.json").read_text())["status"] == "finished"
    for folder in (outputs.run, outputs.place / "mscf/fold-0/seed-0"):
        record = json.loads((folder / "run.json").read_text())
        assert record["pretrained"] == "not loaded"
    assert "ImageNet weights were asked for and could not be had" in outputs.said


@CLOSED
def test_training_and_evaluation_without_them_connect_to_nobody(
    closed, small, tiny_store, tmp_path
) -> None:
    from mscf.training.loop import train
    from mscf.training.settings import TrainSettings

    train(
        TrainSettings(
            data=tiny_store, out=tmp_path, epochs=1, pretrained=False, gpus=0,
            batch_size=4,
        )
    )  # fmt: skip
    assert closed.attempts == []


IMPORT_ALL = """
import importlib, pkgutil, socket, sys

def refuse(*arguments):
    raise SystemExit(f"wanted to connect: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import mscf
for module in pkgutil.walk_packages(mscf.__path__, "mscf."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
sys.argv = ["mscf", "methods"]
mscf.cli.main()
"""


@CLOSED
@pytest.mark.check
def test_importing_everything_and_listing_methods_connect_to_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "mscf " in done.stdout
