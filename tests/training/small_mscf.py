"""The command ``mscf`` with the small network, in every process that it starts.

``python -m small_mscf train ...`` is the command itself: only the network that it
builds is another, and torchrun starts this module again. ``FAULT="nan 1 5"`` in the
environment lets one of ``FAULTS`` happen in rank 1 at its sixth forward pass, with
``result`` instead of 5 when that is done and the result is computed.
"""

import errno
import itertools
import os
import signal
import time

from small_run import SmallNetwork
from torch import Tensor

from mscf import cli, replacing
from mscf.errors import InputError
from mscf.training import launch, loop, start


def nan(outputs: Tensor) -> Tensor:
    return outputs * float("nan")


def raises(outputs: Tensor) -> Tensor:
    raise ValueError("something of its own")


def refuses(outputs: Tensor) -> Tensor:
    raise InputError("case 5", "must be readable", "rubbish", "some-check")


def waits(outputs: Tensor) -> Tensor:
    """Until a signal asks the run to stop, as if the step took for ever."""
    stop = signal.getsignal(signal.SIGTERM).__self__
    while not stop.asked:
        time.sleep(0.05)
    return outputs


def is_asked_to_stop(outputs: Tensor) -> Tensor:
    os.kill(os.getpid(), signal.SIGTERM)
    return outputs


def disk_is_full(outputs: Tensor) -> Tensor:
    def reserve(file, offset, size) -> None:
        if size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    replacing.reserve = reserve
    return outputs


FAULTS = {
    f.__name__: f for f in (nan, raises, refuses, waits, is_asked_to_stop, disk_is_full)
}


def install() -> None:
    """The small network, its ranks, and the fault asked for."""
    start.build = lambda *args, **kwargs: SmallNetwork()
    command = launch.command
    launch.command = lambda settings: [
        "small_mscf" if word == "mscf" else word for word in command(settings)
    ]
    if "FAULT" in os.environ:
        name, rank, at = os.environ["FAULT"].split()
        if os.environ.get("RANK", "0") == rank:
            break_down(FAULTS[name], at)


def break_down(fault, at: str) -> None:
    passes, cross_entropy = itertools.count(), loop.cross_entropy
    write_result = loop.write_result

    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        if str(next(passes)) == at:
            outputs = fault(outputs)
        return cross_entropy(outputs, targets)

    def broken_result(test, state) -> None:
        if at == "result":
            fault(test)
        write_result(test, state)

    loop.cross_entropy, loop.write_result = broken, broken_result


if __name__ == "__main__":
    install()
    cli.main()
