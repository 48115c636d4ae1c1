"""Write the Checks sheet: each check is 1 (passed) or 0, and the master check is 1 if all of them are."""

from __future__ import annotations

from openpyxl.worksheet.worksheet import Worksheet

from workbook import formulas as f
from workbook import styles
from workbook.book import Book, absolute, heading, protect, put, put_formula
from workbook.sheets import article, best, checksums, gpus, models, options, scenarios

ADDIN_ROW, MASTER_ROW, HEADER_ROW = 4, 5, 7
FIRST_ROW = HEADER_ROW + 1


def reserve(book: Book):
    """Create the empty sheet and the names that other sheets' formulas use before it is written."""
    ws = _reserve(book)
    book.name("addin_loaded", ws, f"B{ADDIN_ROW}")
    return ws


def write_of_catalog(book: Book) -> None:
    """Write the sheet of a workbook that has only the sheets of the catalog: their checksums."""
    ws = _reserve(book)
    of_catalog = checksums.write(book, ws, HEADER_ROW)
    _write(book, ws, _catalog_checks(book, of_catalog))


def _reserve(book: Book) -> Worksheet:
    ws = book.sheet("checks", [60, 12, 70], tab_colour="548235")
    book.name("master_check", ws, f"B{MASTER_ROW}")
    return ws


def write(book: Book, ws) -> None:
    """Write the sheet. All sheets that it checks must exist."""
    put(ws, f"A{ADDIN_ROW}", styles.LABEL, book.labels("checks.addin"))
    # Without the add-in the function is #NAME?, which is not a number. Only this cell tests whether it is loaded.
    put_formula(ws, f"B{ADDIN_ROW}", styles.CHECK, "IF(ISNUMBER(VRAM_WEIGHTS(1)),1,0)")
    of_catalog = checksums.write(book, ws, HEADER_ROW)
    _write(book, ws, [*_article_checks(book), *_other_checks(book), *_catalog_checks(book, of_catalog)])


def _write(book: Book, ws: Worksheet, rows: list[tuple[str, str, str]]) -> None:
    """Write the checks and the master check above them."""
    labels = book.labels
    heading(ws, labels("checks.title"), labels("checks.subtitle"))
    put(ws, f"A{MASTER_ROW}", styles.ANSWER, labels("checks.master"))
    for letter, key in zip("ABC", ("check", "result", "meaning")):
        put(ws, f"{letter}{HEADER_ROW}", styles.HEADING, labels(f"checks.{key}"))
    for row, (what, formula, meaning) in enumerate(rows, start=FIRST_ROW):
        put(ws, f"A{row}", styles.LABEL, what)
        put_formula(ws, f"B{row}", styles.CHECK, formula, labels("check.format"))
        put(ws, f"C{row}", styles.NOTE, meaning)
    results = f"B{FIRST_ROW}:B{FIRST_ROW + len(rows) - 1}"
    put_formula(ws, f"B{MASTER_ROW}", styles.CHECK, f"IF(SUM({results})=ROWS({results}),1,0)", labels("check.format"))
    ws.freeze_panes = f"A{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:C{FIRST_ROW + len(rows) - 1}"
    protect(ws)


def _article_checks(book: Book) -> list[tuple[str, str, str]]:
    labels = book.labels
    ws = book.openpyxl[labels("sheet.article")]
    return [
        (
            labels("checks.figure", block=labels(f"article.{block}"), step=labels(f"article.{step}")),
            absolute(ws, cell),
            labels("checks.figure_wrong"),
        )
        for (block, step), cell in article.agreement_cells().items()
    ]


def _catalog_checks(book: Book, formulas: dict[str, str]) -> list[tuple[str, str, str]]:
    labels = book.labels
    titles = [labels(f"sheet.{sheet}") for sheet in checksums.SHEETS]
    wrong = [
        labels("checks.catalog_prices_wrong" if sheet == "prices" else "checks.catalog_wrong", sheet=title)
        for sheet, title in zip(checksums.SHEETS, titles)
    ]
    return [
        (labels("checks.catalog", sheet=title), formula, text)
        for title, formula, text in zip(titles, formulas.values(), wrong)
    ]


def _other_checks(book: Book) -> list[tuple[str, str, str]]:
    labels = book.labels

    def scenario(key: str) -> str:
        return scenarios.column(book, key)

    def model(key: str) -> str:
        return models.column(book, key)

    def gpu(key: str) -> str:
        return gpus.column(book, key)

    ok = f.text(f.OK)
    all_usable = f"COUNTIF({scenario('input_check')},{ok})=ROWS({scenario('input_check')})"
    too_few = f"{scenario('gpus')}*{scenario('memory_bytes')}<{scenario('total')}*{f.GB}*(1-{f.ROUNDING_NOISE})"

    def all_different(names: str) -> str:
        return f"IF(SUMPRODUCT((COUNTIF({names},{names})>1)*1)=0,1,0)"

    def plan(key: str) -> str:
        return options.column(book, key)

    published_differs = f"({model('published')}>0)*({model('published')}<>{model('parameters')})"
    differs = f.text(labels("scenarios.addin_differs"))
    sums = {key: f"SUM({plan(key)})" for key in ("own_tco", "value", "capex", "opex")}
    owned = f"{sums['own_tco']}+{sums['value']}-{sums['capex']}-{sums['opex']}*horizon_months"
    parts, totals = (f"SUM({best.column(book, key)})" for key in ("tco_of_parts", "cost_tco"))
    formulas = {
        "inputs": f"IF({all_usable},1,0)",
        "sum": f"IF(COUNTIF({scenario('adds_up')},1)=ROWS({scenario('adds_up')}),1,0)",
        "enough": f"IF({all_usable},IF(SUMPRODUCT(({too_few})*1)=0,1,0),0)",
        "deploy": f"IF({all_usable},IF(COUNTIF({scenario('holds')},1)=ROWS({scenario('holds')}),1,0),0)",
        # Only the chosen name: with 10 000 scenarios, comparing all pairs of names would dominate the calculation time.
        "scenario_names": f"IF(SUMPRODUCT(({scenario('scenario')}=plan_scenario)*1)<=1,1,0)",
        "chosen": f"IF(ISTEXT(chosen_check),IF(chosen_check={ok},1,0),0)",
        "order": f"IF(SUMPRODUCT(({plan('order')}<{plan('deployable')})*1)*IF(owned_gpus=0,1,0)=0,1,0)",
        "owning": f"IF(ABS({owned})<={f.ROUNDING_NOISE}*SUM({plan('capex')}),1,0)",
        "best": f"IF(COUNT({plan('cost')})=0,1,IF({best.at(book, 'net_present_cost')}<=MIN({plan('cost')})*same_cost,1,0))",
        "parts": f"IF({f.about(parts, totals)},1,0)",
        "price_texts": "IF(offers_texts=0,1,0)",
        "unique": all_different(model("model")),
        "complete": "IF(AND(COUNT(catalog_parameters)=ROWS(catalog_parameters),"
        f"COUNT({model('values_per_token')})=ROWS({model('parameters')})),1,0)",
        "published": f"IF(SUMPRODUCT({published_differs})=0,1,0)",
        "gpus_unique": all_different(gpu("gpu")),
        "gpus_complete": f"IF(COUNTIF({gpu('memory_gb')},{f.text('>0')})=ROWS({gpu('gpu')}),1,0)",
        "addin_agrees": f"IF(COUNTIF({scenario('addin')},{differs})=0,1,0)",
    }
    return [(labels(f"checks.{key}"), formula, labels(f"checks.{key}_wrong")) for key, formula in formulas.items()]
