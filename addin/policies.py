"""What an organisation's settings of Windows and Office block, and which ways to the functions are left.

Each obstacle names where its value was looked up in November 2026: a page of Microsoft's, or one that prints its policy
templates; of another application or version of Office where Excel's differs in that part of the key only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Hive, key and name of a registry value → the value; None if it does not exist.
Registry = Callable[[str, str, str], object]

# Way → what it is. The planner's formulas and the named LAMBDAs need neither macros nor Python.
WAYS = {
    "workbook": "the planner, and its named functions in Excel 365 and 2024: no macros, no Python",
    "addin": "the add-in (vram addin install)",
    "served": "the add-in with Python started outside Excel (vram addin serve)",
    "macro": "a workbook with the functions inside (vram template --macro)",
    "libreoffice": "LibreOffice (vram addin libreoffice)",
    "lite": "xlwings Lite",
    "server": "xlwings Server, which an administrator assigns",
}

_ADDINS = ("addin", "served")
_MACROS = (*_ADDINS, "macro")
_OFFICE = r"Software\Policies\Microsoft\Office\16.0"
_EXCEL = rf"{_OFFICE}\Excel\Security"
_EXCEL_OF_USER = r"Software\Microsoft\Office\16.0\Excel\Security"
_COMMON = r"Software\Microsoft\Office\16.0\Common"
_CATALOGS = rf"{_OFFICE}\WEF\TrustedCatalogs"
_RULES = r"SOFTWARE\Policies\Microsoft\Windows Defender\Windows Defender Exploit Guard\ASR\Rules"
_USER, _MACHINE = "HKCU", "HKLM"
_RESILIENCY = rf"{_OFFICE}\Excel\Resiliency"

_PAGES = "https://policypicker.app/policy/microsoftoffice"
_OFFICE_PAGES = f"{_PAGES}/microsoft-office-2016/security-settings"
_EXCEL_PAGES = f"{_PAGES}/microsoft-excel-2016"
_ADMX = "https://admx.help/?Category=Office"
_RULES_PAGE = "https://learn.microsoft.com/en-us/defender-endpoint/attack-surface-reduction-rules-reference"


@dataclass(frozen=True)
class Obstacle:
    """A setting that can block ways to the functions.

    Attributes:
        title: what it does, a sentence without a full stop.
        blocks: the keys in `WAYS` of what it blocks.
        places: hive and key where it is set.
        name: the name of the value.
        values: the values that block.
        remedy: what an administrator can do, a complete sentence.
        source: the page that has the name and the values.
        exception: hive, key and name of a value that lifts it for our add-in: 1 (always on) or 2 (the user decides).
    """

    title: str
    blocks: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    name: str
    values: tuple[int, ...]
    remedy: str
    source: str
    exception: tuple[str, str, str] | None = None

    def is_set(self, registry: Registry) -> bool:
        """Return whether the setting blocks on this computer; rules of Defender are stored as text."""
        if self.exception and str(registry(*self.exception)) in ("1", "2"):
            return False
        found = (registry(hive, key, self.name) for hive, key in self.places)
        return any(str(value) in map(str, self.values) for value in found)


_SIGN = "Sign vram.xlam with a certificate of a trusted publisher, as docs/corporate.md describes."
_EXCLUDE = "Exclude the folder of Excel's add-in from the rule, or take another way."

OBSTACLES = (
    Obstacle(
        "VBA is switched off in Office",
        _MACROS,
        tuple((hive, key) for hive in (_USER, _MACHINE) for key in (rf"{_OFFICE}\Common", _COMMON)),
        "VBAOff",
        (1,),
        "Take another way.",
        "Microsoft, How to turn off Visual Basic for Applications when you deploy Office",
    ),
    Obstacle(
        "Excel loads no add-ins",
        _ADDINS,
        ((_USER, _EXCEL), (_USER, _EXCEL_OF_USER)),
        "DisableAllAddins",
        (1,),
        "Switch off 'Disable all application add-ins', or take another way.",
        "policy 'Disable all application add-ins'; its name only in programs that read it",
    ),
    Obstacle(
        "Excel loads only add-ins of the organisation's list",
        _ADDINS,
        ((_USER, _RESILIENCY),),
        "RestrictToList",
        (1,),
        "Add vram.xlam to the policy 'List of managed add-ins', with 1 or 2.",
        f"{_EXCEL_PAGES}/miscellaneous/list-of-managed-add-ins-483dfbc15b6c",
        exception=(_USER, rf"{_RESILIENCY}\AddinList", "vram.xlam"),
    ),
    Obstacle(
        "Excel loads only signed add-ins",
        _ADDINS,
        ((_USER, _EXCEL), (_USER, _EXCEL_OF_USER)),
        "RequireAddinSig",
        (1,),
        _SIGN,
        f"{_ADMX}2007&Policy=word12.Office.Microsoft.Policies.Windows::L_RequirethatApplicationExtensionsaresigned",
    ),
    Obstacle(
        "Office loads only signed macros at its start",
        _ADDINS,
        ((_USER, rf"{_OFFICE}\Common\Security"),),
        "RequireAlwaysOnMacroSig",
        (1,),
        _SIGN,
        f"{_OFFICE_PAGES}/require-trusted-publisher-signatures-for-macros-718074beeb66",
    ),
    Obstacle(
        "No folder is trusted, also not Excel's start-up folder",
        _ADDINS,
        ((_USER, rf"{_EXCEL}\Trusted Locations"), (_USER, rf"{_EXCEL_OF_USER}\Trusted Locations")),
        "AllLocationsDisabled",
        (1,),
        _SIGN,
        f"{_ADMX}2013&Policy=word15.Office.Microsoft.Policies.Windows::L_DisableTrustedLoc",
    ),
    Obstacle(
        "Only folders that Group Policy names are trusted",
        _ADDINS,
        ((_USER, rf"{_OFFICE}\Common\Security\Trusted Locations"),),
        "Allow User Locations",
        (0,),
        "Name Excel's start-up folder XLSTART in the policy, or sign vram.xlam.",
        f"{_OFFICE_PAGES}/trust-center/allow-mix-of-policy-and-user-locations-63895b368417",
    ),
    Obstacle(
        "Macros outside trusted folders are off, or must be signed",
        ("macro",),
        ((_USER, _EXCEL), (_USER, _EXCEL_OF_USER)),
        "VBAWarnings",
        (3, 4),
        "Save the workbook in a trusted folder, sign it, or use the add-in.",
        f"{_EXCEL_PAGES}/excel-options/security/trust-center/macro-notification-settings-2fa711576527",
    ),
    Obstacle(
        "Macros in files from the internet are off",
        ("macro",),
        ((_USER, _EXCEL),),
        "BlockContentExecutionFromInternet",
        (1,),
        "Build the workbook on your own computer, or unblock the file in its Properties.",
        "CIS Microsoft Office Enterprise Benchmark 1.1.0, 2.2.4.7.2.6",
    ),
    Obstacle(
        "Defender keeps Office from starting programs",
        ("addin", "macro"),
        ((_MACHINE, _RULES),),
        "d4f940ab-401b-4efc-aadc-ad5f3c50688a",
        (1, 6),
        "Start Python outside Excel: vram addin serve",
        _RULES_PAGE,
    ),
    Obstacle(
        "Defender keeps macros from calling DLLs",
        _MACROS,
        ((_MACHINE, _RULES),),
        "92e97fa1-2edf-4476-bdd6-9dd0b4dddc7b",
        (1, 6),
        _EXCLUDE,
        _RULES_PAGE,
    ),
    Obstacle(
        "Office's store is switched off",
        ("lite",),
        ((_USER, _CATALOGS),),
        "DisableOMEXCatalogs",
        (1,),
        "Let an administrator assign xlwings Lite, or take another way.",
        "DISA STIG V-40883, policy 'Block the Office Store'",
    ),
    Obstacle(
        "Web add-ins are switched off",
        ("lite", "server"),
        ((_USER, _CATALOGS),),
        "DisableAllCatalogs",
        (1,),
        "Take another way.",
        "policy 'Block Web Add-ins'; its name only in programs that set it",
    ),
)


def table_rows() -> list[str]:
    """Return the obstacles as rows of the table in docs/corporate.md."""
    return [
        f"| {found.title} | `{found.name}` = {' or '.join(map(str, found.values))} | {', '.join(found.blocks)} "
        f"| {found.remedy} | {_as_link(found.source)} |"
        for found in OBSTACLES
    ]


def _as_link(source: str) -> str:
    return f"[page]({source})" if source.startswith("https://") else source


def found_obstacles(registry: Registry) -> tuple[Obstacle, ...]:
    """Return the obstacles that are set on this computer."""
    return tuple(obstacle for obstacle in OBSTACLES if obstacle.is_set(registry))


def ways_left(obstacles: Iterable[Obstacle], *, with_excel: bool = True) -> dict[str, str]:
    """Return every way → what blocks it; "" if nothing does.

    Args:
        with_excel: False on systems other than Windows, where Excel cannot call a Python program.
    """
    blocked = dict.fromkeys(WAYS, "")
    if not with_excel:
        blocked |= dict.fromkeys(_MACROS, "only Excel on Windows has it")
    for obstacle in obstacles:
        for way in obstacle.blocks:
            blocked[way] = blocked[way] or obstacle.title
    return blocked
