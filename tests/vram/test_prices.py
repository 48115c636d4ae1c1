"""`vram prices import`, and the files of offers that plan and template take."""

from __future__ import annotations

import csv
import datetime
import json

import openpyxl
import pytest

from core.catalog.offers import COLUMNS, MOST_OFFERS
from core.errors import PlannerError
from tests.workbook.planner_rows import few
from vram.price_files import gpu_of, import_offers, read_offers
from workbook.labels import Labels
from workbook.sheets import options as options_sheet
from workbook.sheets import prices as prices_sheet

# Rows as SkyPilot's catalog has them, with round prices.
SKYPILOT = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
cpu,,,4.0,16.0,0.2,us-east-1,,
p4d.24xlarge,A100,8.0,96.0,1152.0,20.0,us-east-1,"{'Gpus': [{'Name': 'A100', 'MemoryInfo': {'SizeInMiB': 40960}}]}",8.0
p4d.24xlarge,A100,8.0,96.0,1152.0,24.0,us-west-2,"{'Gpus': [{'Name': 'A100', 'MemoryInfo': {'SizeInMiB': 40960}}]}",
p4d.24xlarge,A100,8.0,96.0,1152.0,30.0,eu-west-1,,
g6f.large,L4,0.125,2.0,8.0,0.2,us-east-1,,
trn1.2xlarge,Trainium,1.0,8.0,32.0,1.34,us-east-1,,
h100,H100,8.0,8.0,32.0,0,us-east-1,,
"""
GPUHUNT = """instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags
gpu_1x,us-1,2.5,26,200,1,H100,80.0,False,,nvidia,
gpu_1x,us-1,1.5,26,200,1,H100,80.0,True,,nvidia,
gpu_1x,us-1,3.0,26,200,1,H100,94.0,False,,nvidia,
gpu_9x,us-1,3.0,26,200,1,H100,17.0,False,,nvidia,
"""
DAY = datetime.date(2026, 11, 26)


def written(folder, text, name="vms.csv"):
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_skypilots_machines(vram, tmp_path):
    """Of the four prices of an A100, three on demand from 20 to 30, one spot. The folder is the vendor."""
    file, out = written(tmp_path / "aws", SKYPILOT), tmp_path / "offers.csv"
    status, printed, err = vram("prices", "import", file, "--kind", "skypilot", "--as-of", "2026-11-26", "-o", out)
    assert (status, err) == (0, "")
    assert "4 of 5 rows with a price taken: 2 offers of 1 GPU" in printed
    assert "not known, with their rows: Trainium (1)" in printed
    on_demand, spot = rows_of(out)
    assert on_demand == dict.fromkeys(COLUMNS, "") | {
        "gpu": "a100-sxm-40gb", "gpus": "8", "vendor": "aws", "kind": "hyperscaler", "terms": "rent on demand",
        "region": "us-east-1", "date": "2026-11-26", "smallest": "8", "typical": "20", "high": "30", "currency": "USD",
        "source": "SkyPilot catalog, vms.csv", "note": "p4d.24xlarge",
    }  # fmt: skip
    assert (spot["terms"], spot["typical"], spot["high"]) == ("spot", "8", "")


def test_a_price_below_zero_is_none(tmp_path):
    """Else it would be the cheapest of its machine, and hide the others."""
    wrong = SKYPILOT.replace("1152.0,24.0,", "1152.0,-24.0,").replace("L4,0.125", "L4,-1")
    found = import_offers(written(tmp_path / "aws", wrong), "skypilot", DAY)
    assert next((offer.gpu, offer.typical, offer.high) for offer in found.offers) == ("a100-sxm-40gb", 20, 30)
    assert all(offer.typical > 0 and offer.gpus > 0 for offer in found.offers)


def test_one_region(tmp_path):
    found = import_offers(written(tmp_path / "aws", SKYPILOT), "skypilot", DAY, "US-W")
    assert [(offer.region, offer.typical) for offer in found.offers] == [("us-west-2", 24)]


def test_gpuhunts_machines(tmp_path):
    """One name, two GPUs by their memory, and a memory that neither has."""
    found = import_offers(written(tmp_path, GPUHUNT, "lambdalabs.csv"), "gpuhunt", DAY)
    assert [(offer.gpu, offer.terms, offer.typical, offer.vendor, offer.kind) for offer in found.offers] == [
        ("h100-sxm", "rent on demand", 2.5, "lambdalabs", "specialist cloud"),
        ("h100-sxm", "spot", 1.5, "lambdalabs", "specialist cloud"),
        ("h100-nvl", "rent on demand", 3.0, "lambdalabs", "specialist cloud"),
    ]
    assert found.unknown == {"H100": 1}


def test_our_own_columns(tmp_path):
    text = "gpu,kind,terms,typical,region\nH200,own quote,buy,30000,EU\nZ9,list,buy,1,EU\n,,,,\nH100,list,buy,1,US\n"
    found = import_offers(written(tmp_path, text), "csv", DAY, "eu")
    assert [(offer.gpu, offer.date) for offer in found.offers] == [("h200-sxm", DAY)]
    assert (found.rows, found.taken, found.unknown) == (2, 1, {"Z9": 1})


@pytest.mark.parametrize(
    "name, memory, gpu",
    [
        ("A100", 80, "a100-sxm-80gb"), ("A100-80GB", None, "a100-sxm-80gb"), ("L40S", 45, "l40s"), ("T4", 16, "t4"),
        ("A100", 20, None), ("TPU", None, None), ("RTX 4090", 24, "rtx-4090"), ("V100", 16, "v100-sxm2-16gb"),
    ],
)  # fmt: skip
def test_names_of_other_catalogs(name, memory, gpu):
    assert gpu_of(name, memory) == gpu


@pytest.mark.parametrize(
    "form, text, message",
    [
        ("skypilot", SKYPILOT.replace("20.0,us-east-1", "dear,us-east-1"), "row 3, Price: 'dear' is not a number"),
        ("skypilot", GPUHUNT, "it has no column InstanceType. Its first line must name InstanceType"),
        ("gpuhunt", GPUHUNT.replace("2.5,26", "nan,26"), "row 2, price: 'nan' is not a number"),
        ("csv", "gpu,kind,terms,typical\nH100,friend,buy,1\n", "row 2, kind: 'friend' is not known"),
        ("csv", "", "it is empty. Name the columns gpu, gpus"),
        ("skypilot", SKYPILOT.splitlines()[0], "it has no price of a known GPU. Look at --kind and --region."),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_written(vram, tmp_path, form, text, message):
    out = tmp_path / "offers.csv"
    out.write_text("as it was")
    status, _, err = vram(
        "prices", "import", written(tmp_path / "aws", text), "--kind", form, "--as-of", "2026-11-26", "-o", out
    )  # fmt: skip
    assert status == 2 and message in err
    assert out.read_text() == "as it was"


def test_wrong_files_and_dates(vram, tmp_path):
    file = written(tmp_path, SKYPILOT)
    status, _, err = vram("prices", "import", file, "--kind", "skypilot", "--as-of", "May")
    assert status == 2 and "as-of: 'May' is not a date. Write for example 2026-11-26." in err
    status, _, err = vram("prices", "import", tmp_path / "none.csv", "--kind", "csv", "--as-of", "2026-11")
    assert status == 2 and "it cannot be read" in err
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlannerError, match="it is not UTF-16 text"):
        read_offers(tmp_path / "bytes.csv")


def test_too_many_offers_are_refused(tmp_path):
    rows = "H100,list,buy,1\n" * (MOST_OFFERS + 1)
    with pytest.raises(PlannerError, match="it has 1,001 offers, and 1 to 1,000 are compared"):
        read_offers(written(tmp_path, "gpu,kind,terms,typical\n" + rows))


OWN = "gpu,gpus,vendor,quote,kind,terms,date,smallest,typical\nh200,8,Vendor A,4711,own quote,buy,2026-06-01,8,200000\n"


def test_a_plan_at_own_prices(vram, tmp_path):
    """8 × H200 for 200 000: 25 000 a GPU with its server, in machines of eight."""
    arguments = ("plan", "llama-3.1-70b", "--users", 10, "--context", 8192, "--gpu", "h200", "--costs", "--json")
    status, out, _ = vram(*arguments, "--prices", written(tmp_path, OWN))
    costs = json.loads(out)["layouts"][0]["costs"]
    assert status == 0
    price = costs["prices"]["purchase"]
    assert [price[key] for key in ("usd", "vendor", "quote", "kind", "in_multiples_of")] == [
        25_000, "Vendor A", "4711", "own quote", 8,
    ]  # fmt: skip
    assert costs["prices"]["server_per_gpu"]["usd"] == 0
    bought = costs["order_steps"]["order"]
    assert costs["owning"]["capex_usd"] == pytest.approx(bought * 25_000 * 1.0486, rel=1e-3)
    default = json.loads(vram(*arguments)[1])["layouts"][0]["costs"]
    assert default["prices"]["purchase"]["kind"] == "street"


@pytest.mark.slow
def test_a_template_with_own_prices(vram, tmp_path):
    """Also of a GPU without a price in the catalog: it has rows on Options, with its cost."""
    out = tmp_path / "planner.xlsx"
    other = "h100-nvl,8,Vendor B,4712,own quote,buy,2026-06-01,8,120000\n"
    with few(gpus=None):
        assert vram("template", "-o", out, "--prices", written(tmp_path, OWN + other))[0] == 0
    book = openpyxl.load_workbook(out, data_only=True)
    ws = book[Labels("en")("sheet.prices")]
    for quote in ("4711", "4712"):
        (row,) = (row for row in range(prices_sheet.FIRST_ROW, ws.max_row) if ws[f"D{row}"].value == quote)
        assert ws[f"{prices_sheet.letter('state')}{row}"].value == "used: own quote"
    assert "2 of them own quotes" in ws["A3"].value
    ws = book[Labels("en")("sheet.options")]
    ranks = [
        ws[f"{options_sheet.letter('rank')}{row}"].value
        for row in range(options_sheet.FIRST_ROW, ws.max_row + 1)
        if ws[f"{options_sheet.letter('gpu')}{row}"].value == "h100-nvl"
    ]
    assert any(isinstance(rank, (int, float)) for rank in ranks)


def test_a_plan_names_the_offers_behind_its_prices(vram, tmp_path):
    """Of H100: 30 000 on the street; AWS 6.88 and Lambda 3.78 on demand; or a quote for a machine."""
    arguments = ("plan", "llama-3.1-70b", "--users", 10, "--context", 8192, "--gpu", "h100", "--costs")
    out = " ".join(vram(*arguments)[1].split())
    assert "prices of h100-sxm, USD: buy 30,000.00 (street); server 9,625.00 (list, Thinkmate, stale); rent on" in out
    assert "rent on demand 6.88 (hyperscaler, AWS, stale; all kinds 3.78 to 6.88)" in out
    out = " ".join(vram(*arguments, "--prices", written(tmp_path, OWN.replace("h200", "h100")))[1].split())
    assert "buy 25,000.00 (own quote, Vendor A, quote 4711; all kinds 25,000.00 to 30,000.00)" in out
