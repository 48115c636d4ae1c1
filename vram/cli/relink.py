"""The command `vram relink`."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import PlannerError


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "addin", help="Path of the add-in, as Excel on Windows sees it. [default: this user's]")
@click.option("--plain", is_flag=True, help="For LibreOffice with vram.oxt: call the functions by their plain names.")
@click.option(
    "-o", "--output", "output", type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the workbook. [default: FILE itself]",
)  # fmt: skip
def relink(file: Path, addin: str | None, plain: bool, output: Path | None) -> None:
    r"""Point the formulas of FILE that call another computer's vram.xlam at this one's; needs no Excel.

    FILE is an .xlsx or .xlsm. Nothing but the links changes. Excel with the add-in does the same when it opens FILE.
    LibreOffice shows #NAME? for such formulas, until --plain has removed the links.

    \b
    vram relink prices.xlsx
    vram relink prices.xlsx --to C:\Users\Ann\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam -o for-ann.xlsx
    vram relink prices.xlsx --plain -o for-libreoffice.xlsx
    """
    from addin.install import ADDIN_NAME
    from addin.plain_names import with_plain_names
    from addin.relink import relinked
    from workbook.audit.opening import opened
    from workbook.files import write_whole

    if plain and addin:
        raise click.UsageError("--plain removes the links, so it takes no --to.")
    content = opened(file).content
    found = with_plain_names(content, ADDIN_NAME) if plain else relinked(content, addin or _this_users_addin())
    if found.former or output not in (None, file):
        write_whole(output or file, found.content)
    for path in found.former:
        click.echo(f"{'Removed' if plain else 'Changed'} the link to {path}")
    none = "No link to vram.xlam." if plain else "No link to another vram.xlam."
    click.echo(f"Wrote {output or file}" if found.former else none)


def _this_users_addin() -> str:
    from addin.install import NotOnWindowsError, windows_profile

    try:
        return str(windows_profile().addin)
    except NotOnWindowsError as error:
        remedy = "Add --to with the path of vram.xlam on the computer with Excel."
        raise PlannerError("to", "this computer has no add-in of Excel", remedy) from error
