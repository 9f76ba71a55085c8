"""Get the CT of the paper: MSD's Task03_Liver, or check LiTS's own files."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.cli import Verbose, one_line_errors, run_script
from mscf.data.download import ADDRESS


def main(
    out: Annotated[
        Path,
        Argument(
            metavar="OUT", help="a new folder, or one that holds LiTS's own files"
        ),
    ],
    cases: Annotated[
        int | None,
        Option(
            help="only so many, out of the middle of the tar",
            show_default="all 131, 27 GB",
        ),
    ] = None,
    address: Annotated[str, Option(help="of the tar, on a mirror")] = ADDRESS,
    verbose: Verbose = False,
) -> None:
    """Get MSD's Task03_Liver; a second call goes on, or checks what is there."""
    from mscf.data.download import download

    with one_line_errors(verbose):
        print(f"{download(out, cases, address)}")


if __name__ == "__main__":
    run_script(main)
