"""The command `vram relink`."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import PlannerError


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "addin", help="Path of the add-in, as Excel on Windows sees it. [default: this user's]")
@click.option(
    "-o", "--output", "output", type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the workbook. [default: FILE itself]",
)  # fmt: skip
def relink(file: Path, addin: str | None, output: Path | None) -> None:
    r"""Point the formulas of FILE that call another computer's vram.xlam at this one's; needs no Excel.

    FILE is an .xlsx or .xlsm. Nothing but the links changes. Excel with the add-in does the same when it opens FILE.

    \b
    vram relink prices.xlsx
    vram relink prices.xlsx --to C:\Users\Ann\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam -o for-ann.xlsx
    """
    from addin.relink import relinked
    from workbook.audit.opening import opened
    from workbook.files import write_whole

    found = relinked(opened(file).content, addin or _this_users_addin())
    if found.former or output not in (None, file):
        write_whole(output or file, found.content)
    for path in found.former:
        click.echo(f"Changed the link to {path}")
    click.echo(f"Wrote {output or file}" if found.former else "No link to another vram.xlam.")


def _this_users_addin() -> str:
    from addin.install import NotOnWindowsError, windows_profile

    try:
        return str(windows_profile().addin)
    except NotOnWindowsError as error:
        remedy = "Add --to with the path of vram.xlam on the computer with Excel."
        raise PlannerError("to", "this computer has no add-in of Excel", remedy) from error
