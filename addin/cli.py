"""The command `vram addin`. Each command imports what it needs when it runs: `vram` itself starts fast."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def addin() -> None:
    """Carry the cell functions into spreadsheet programs on each platform."""


@addin.command()
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"),
    show_default=True, help="Folder to write the wheel to.",
)  # fmt: skip
def wheel(folder: Path) -> None:
    """Build the wheel for xlwings Lite and xlwings Server (Excel on Mac and on the web)."""
    from addin.lite_wheel import REGISTER, build_wheel
    from workbook.files import write_whole

    name, content = build_wheel()
    write_whole(folder / name, content)
    click.echo(f"Wrote {folder / name}")
    click.echo("xlwings Lite:")
    click.echo(f"  requirements.txt   the https address at which you publish {name}")
    click.echo(f"  main.py            {REGISTER}")


@addin.command()
@click.option(
    "-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("dist/vram.oxt"),
    show_default=True, help="Where to write the extension.",
)  # fmt: skip
def libreoffice(path: Path) -> None:
    """Write the cell functions as an extension of LibreOffice Calc; needs no LibreOffice."""
    from addin.libreoffice import extension
    from workbook.files import write_whole

    write_whole(path, extension())
    click.echo(f"Wrote {path}")
    click.echo("Install it: open it in LibreOffice, or unopkg add --force FILE; then restart LibreOffice.")
