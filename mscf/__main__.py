"""The command ``mscf``, also as ``python -m mscf``.

Until a command decides otherwise, Ctrl-C ends the process as it stands: raised in the
middle of an import, Python's KeyboardInterrupt can become any error.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from mscf.cli import main

if __name__ == "__main__":
    main()
