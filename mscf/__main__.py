"""``python -m mscf``: the command ``mscf`` where no script is on the path."""

from mscf.cli import main

main()
