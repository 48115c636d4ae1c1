"""The commands `vram addin` and `vram doctor`; each imports what it needs when it runs, so that `vram` starts fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from core.errors import PlannerError

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
@click.option(
    "--from", "signed", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Install this file, a signed copy of what `vram addin build` writes.",
)  # fmt: skip
def install_command(python_only: bool, signed: Path | None) -> None:
    """Install the add-in so that Excel loads it at every start (Windows; the current user only)."""
    from addin.install import install, windowless, windows_profile

    profile = windows_profile()
    from addin.build import addin_file, has_our_code

    content = None if python_only else signed.read_bytes() if signed else addin_file()
    if signed and not has_our_code(signed.read_bytes()):
        raise PlannerError("from", f"{signed} has other code than this version builds", "Build and sign it again.")
    for path in install(profile, content, windowless(Path(sys.executable))):
        click.echo(f"Wrote {path}")
    click.echo("Start Excel and try =VRAM_WEIGHTS(70): it shows 140. If not: vram doctor")


@addin.command()
def serve() -> None:
    """Answer Excel's cells until Ctrl+C, where a policy keeps Excel from starting Python (Windows).

    Start it before the first cell is calculated; afterwards Ctrl+Alt+F9 in Excel finds it within a minute.
    """
    from addin.install import windows_profile
    from addin.server import OPTIONS, SERVED_CLASS, code

    windows_profile()
    click.echo("Python answers Excel's cells. Leave this window open; Ctrl+C ends it.")
    sys.exit(subprocess.run([sys.executable, *OPTIONS, "-c", code(SERVED_CLASS)], check=False).returncode)


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
    """Check this machine: Python, xlwings, the add-in, policies; each line says what is wrong and what to do.

    The last lines say which ways to the functions are left.
    """
    from addin.doctor import examine
    from addin.machine import this_machine
    from addin.policies import WAYS, ways_left

    machine = this_machine()
    findings = examine(machine)
    marks = _marks(getattr(sys.stdout, "encoding", None))
    for finding in findings:
        optional = "" if finding.ok or finding.matters else " (optional)"
        click.echo(" ".join(filter(None, [marks[finding.ok], finding.text + optional + ".", finding.remedy])))
    click.echo("Ways to the functions:")
    blocked = ways_left(machine.excel.obstacles if machine.excel else (), with_excel=machine.excel is not None)
    for way, obstacle in blocked.items():
        click.echo(f"{marks[not obstacle]} {WAYS[way]}" + (f": {obstacle}" if obstacle else ""))
    if any(finding.matters and not finding.ok for finding in findings):
        sys.exit(UNHEALTHY)


def _marks(encoding: str | None) -> dict[bool, str]:
    """Return ✓ and ✗, or ASCII for a console without them."""
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {True: "ok", False: "NO"}
    return {True: "✓", False: "✗"}
