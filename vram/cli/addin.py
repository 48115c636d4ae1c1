"""The commands `vram addin` and `vram doctor`; each imports what it needs when it runs, so that `vram` starts fast."""

from __future__ import annotations

import sys
from pathlib import Path

import click

# Exit status of `vram doctor` when something that matters is wrong.
UNHEALTHY = 1


@click.group()
def addin() -> None:
    """Put the cell functions into Excel, xlwings Lite and Server, and LibreOffice."""


@addin.command()
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"),
    show_default=True, help="Folder to write to.",
)  # fmt: skip
def build(folder: Path) -> None:
    """Write the add-in vram.xlam, and its functions as vram_functions.bas; needs no Excel."""
    from addin.build import addin_file
    from addin.install import ADDIN_NAME
    from addin.vba_project import functions_source
    from workbook.files import write_whole

    contents = {ADDIN_NAME: addin_file(), "vram_functions.bas": functions_source().encode("ascii")}
    for name, content in contents.items():
        write_whole(folder / name, content)
        click.echo(f"Wrote {folder / name}")


@addin.command("install")
@click.option("--python-only", is_flag=True, help="Say only which Python to start, for workbooks of template --macro.")
def install_command(python_only: bool) -> None:
    """Install the add-in so that Excel loads it at every start (Windows; the current user only)."""
    from addin.install import install, windowless, windows_profile

    profile = windows_profile()
    from addin.build import addin_file

    content = None if python_only else addin_file()
    for path in install(profile, content, windowless(Path(sys.executable))):
        click.echo(f"Wrote {path}")
    click.echo("Start Excel and try =VRAM_WEIGHTS(70): it shows 140. If not: vram doctor")


@addin.command("uninstall")
def uninstall_command() -> None:
    """Undo `vram addin install`."""
    from addin.install import uninstall, windows_profile

    removed = uninstall(windows_profile())
    click.echo("\n".join(f"Removed {path}" for path in removed) or "The add-in was not installed.")


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


@click.command()
def doctor() -> None:
    """Check this machine: Python, xlwings, the add-in; each line says what is wrong and what to do."""
    from addin.doctor import examine
    from addin.machine import this_machine

    findings = examine(this_machine())
    marks = _marks(getattr(sys.stdout, "encoding", None))
    for finding in findings:
        optional = "" if finding.ok or finding.matters else " (optional)"
        click.echo(" ".join(filter(None, [marks[finding.ok], finding.text + optional + ".", finding.remedy])))
    if any(finding.matters and not finding.ok for finding in findings):
        sys.exit(UNHEALTHY)


def _marks(encoding: str | None) -> dict[bool, str]:
    """Return ✓ and ✗, or ASCII for a console without them."""
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {True: "ok", False: "NO"}
    return {True: "✓", False: "✗"}
