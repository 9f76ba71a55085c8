"""Get the CT of the paper: MSD's Task03_Liver, or check LiTS's own files."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


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
            help="only the first so many by number, read out of the tar",
            show_default="all 131, 27 GB",
        ),
    ] = None,
    address: Annotated[
        str | None, Option(help="of the tar", show_default="MSD's public bucket")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Get MSD's Task03_Liver; a second call goes on, or checks what is there."""
    from mscf.data.download import ADDRESS, download

    with one_line_errors(verbose):
        print(download(out, cases, address or ADDRESS))


if __name__ == "__main__":
    run_script(main)
