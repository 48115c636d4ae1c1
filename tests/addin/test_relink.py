"""Test `vram relink` on workbooks with links as Excel saves them."""

from __future__ import annotations

import zipfile
from io import BytesIO

import openpyxl
import pytest
from lxml import etree

from addin.relink import relinked
from core.errors import PlannerError
from workbook.audit.run import audit
from workbook.package import rewritten

THEIRS = r"C:\Users\Bob\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam"
OURS = r"C:\Users\Ann O'Hara & Co\AppData\Roaming\Microsoft\Excel\XLSTART\vram.xlam"
OURS_IN_FILE = "file:///C:\\Users\\Ann%20O'Hara%20&%20Co\\AppData\\Roaming\\Microsoft\\Excel\\XLSTART\\vram.xlam"

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
LINK_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.externalLink+xml"
XLSTART = "http://schemas.microsoft.com/office/2006/relationships/xlExternalLinkPath/xlStartup"


def workbook(*targets: tuple[str, str]) -> bytes:
    """Return a workbook whose formulas call a function of each linked file: (kind of relation, target)."""
    book, out = openpyxl.Workbook(), BytesIO()
    for number in range(1, len(targets) + 1):
        book.active[f"A{number}"] = f"=[{number}]!VRAM_WEIGHTS(70)"
    book.active["B1"] = "unchanged"
    book.save(out)
    numbers = range(1, len(targets) + 1)
    links = {
        f"xl/externalLinks/externalLink{n}.xml": f'<externalLink xmlns="{MAIN}"><externalBook xmlns:r="{OFFICE}" '
        f'r:id="rId1"><definedNames><definedName name="VRAM_WEIGHTS"/></definedNames></externalBook></externalLink>'
        for n in numbers
    }
    relations = {
        f"xl/externalLinks/_rels/externalLink{n}.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{kind}" Target="{target.replace("&", "&amp;")}" TargetMode="External"/>'
        "</Relationships>"
        for n, (kind, target) in zip(numbers, targets, strict=True)
    }
    edits = {
        "[Content_Types].xml": lambda xml: xml.replace(
            b"</Types>",
            "".join(f'<Override PartName="/{part}" ContentType="{LINK_TYPE}"/>' for part in links).encode()
            + b"</Types>",
        ),
        "xl/_rels/workbook.xml.rels": lambda xml: xml.replace(
            b"</Relationships>",
            "".join(
                f'<Relationship Id="link{n}" Type="{OFFICE}/externalLink" Target="externalLinks/externalLink{n}.xml"/>'
                for n in numbers
            ).encode()
            + b"</Relationships>",
        ),
        "xl/workbook.xml": lambda xml: xml.replace(
            b"<calcPr",
            f'<externalReferences xmlns:r="{OFFICE}">'.encode()
            + "".join(f'<externalReference r:id="link{n}"/>' for n in numbers).encode()
            + b"</externalReferences><calcPr",
        ),
    }
    return rewritten(
        out.getvalue(),
        lambda part, xml: edits[part](xml) if part in edits else xml,
        {part: xml.encode() for part, xml in {**links, **relations}.items()},
    )


def targets(content: bytes) -> list[tuple[str, str]]:
    with zipfile.ZipFile(BytesIO(content)) as package:
        parts = sorted(name for name in package.namelist() if name.startswith("xl/externalLinks/_rels/"))
        relations = [etree.fromstring(package.read(part))[0] for part in parts]
    return [(relation.get("Type"), relation.get("Target")) for relation in relations]


FULL = f"{OFFICE}/externalLinkPath"


@pytest.mark.parametrize(
    ("kind", "target", "former"),
    [
        (FULL, f"file:///{THEIRS}", THEIRS),
        (FULL, f"file:///{THEIRS.upper()}", THEIRS.upper()),
        (FULL, r"\\server\share%20of%20all\vram.xlam", r"\\server\share of all\vram.xlam"),
        (FULL, "https://company.example/Shared/vram.xlam", "https://company.example/Shared/vram.xlam"),
        (XLSTART, "vram.xlam", "vram.xlam"),
    ],
)
def test_a_link_to_another_add_in_is_pointed_at_this_one(kind, target, former):
    found = relinked(workbook((kind, target)), OURS)
    assert found.former == (former,)
    assert targets(found.content) == [(FULL, OURS_IN_FILE)]


def test_nothing_else_changes():
    before = workbook((FULL, f"file:///{THEIRS}"), (FULL, "file:///C:\\data\\prices.xlsx"), (FULL, "my vram.xlam"))
    after = relinked(before, OURS).content
    assert targets(after) == [(FULL, OURS_IN_FILE), (FULL, "file:///C:\\data\\prices.xlsx"), (FULL, "my vram.xlam")]
    with zipfile.ZipFile(BytesIO(before)) as old, zipfile.ZipFile(BytesIO(after)) as new:
        assert new.namelist() == old.namelist()
        changed = [name for name in old.namelist() if old.read(name) != new.read(name)]
    assert changed == ["xl/externalLinks/_rels/externalLink1.xml.rels"]
    assert relinked(after, OURS) == (after, ()), "a second time there is nothing to change"


def test_openpyxl_reads_the_result_and_the_audit_finds_nothing_new(tmp_path):
    for name, content in {
        "before": workbook((FULL, f"file:///{THEIRS}")),
        "after": relinked(workbook((FULL, f"file:///{THEIRS}")), OURS).content,
    }.items():
        (tmp_path / f"{name}.xlsx").write_bytes(content)
    book = openpyxl.load_workbook(tmp_path / "after.xlsx")
    assert book.active["A1"].value == "=[1]!VRAM_WEIGHTS(70)"
    assert book._external_links[0].file_link.Target == OURS_IN_FILE

    def failing(name: str) -> list[str]:
        found = audit(tmp_path / f"{name}.xlsx", with_house=False, add_in_functions=["VRAM_WEIGHTS"])
        return [result.check.key for result in found.results if not result.passed]

    assert failing("after") == failing("before")
    assert "external_links" in failing("after")


@pytest.mark.parametrize("addin", ["vram.xlam", "/home/ann/vram.xlam", r"C:vram.xlam", r"C:\Users\Ann\vram.exe", ""])
def test_only_a_full_windows_path_of_an_add_in_is_taken(addin):
    with pytest.raises(PlannerError, match="to: .* is not the full Windows path"):
        relinked(workbook(), addin)


def test_the_command_changes_the_file_in_place(vram, tmp_path):
    path = tmp_path / "prices.xlsx"
    path.write_bytes(workbook((FULL, f"file:///{THEIRS}")))
    assert vram("relink", path, "--to", OURS) == (0, f"Changed the link to {THEIRS}\nWrote {path}\n", "")
    assert targets(path.read_bytes()) == [(FULL, OURS_IN_FILE)]
    assert [file.name for file in tmp_path.iterdir()] == ["prices.xlsx"]
    written = path.stat().st_mtime_ns
    assert vram("relink", path, "--to", OURS) == (0, "No link to another vram.xlam.\n", "")
    assert path.stat().st_mtime_ns == written, "a file without such links is not written"


def test_the_command_can_write_another_file(vram, tmp_path):
    path, other = tmp_path / "prices.xlsx", tmp_path / "for ann.xlsx"
    path.write_bytes(before := workbook((FULL, f"file:///{THEIRS}")))
    assert vram("relink", path, "--to", OURS, "-o", other)[0] == 0
    assert path.read_bytes() == before
    assert targets(other.read_bytes()) == [(FULL, OURS_IN_FILE)]


def test_the_command_says_what_is_wrong(vram, tmp_path, monkeypatch):
    path = tmp_path / "damaged.xlsx"
    path.write_bytes(b"PK\x03\x04 not a workbook")
    status, _, err = vram("relink", path, "--to", OURS)
    assert status == 2 and str(path) in err
    monkeypatch.setattr("sys.platform", "linux")
    path.write_bytes(workbook())
    status, _, err = vram("relink", path)
    assert (status, "Add --to with the path of vram.xlam" in err) == (2, True)
