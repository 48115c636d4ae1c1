"""Cell functions that show how arguments and results are converted; `facts` has the expected conversions."""

import datetime
import decimal
import os
import sys

import xlwings as xw


@xw.func
@xw.arg("x", ndim=2, err_to_str=True)
def show(x, y="default"):
    return repr((x, y))


@xw.func
@xw.arg("x", err_to_str=True)
def echo(x):
    return x


@xw.func
def result(kind):
    return {
        "float": 2.5,
        "text": "#NUM!",
        "truth": True,
        "none": None,
        "decimal": decimal.Decimal("1.23456"),
        "int": 3,
        "uint": 2**31,
        "long": 2**40,
        "long long": 2**63,
        "huge": 2**70,
        "date": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "rows": [[1.0, "a"], ["#N/A", 2.0]],
        "row": [[1.0, 2.0]],
        "column": [[1.0], [2.0]],
        "cell": [[1.0]],
        "ragged": [[1.0], [1.0, 2.0]],
        "object": object(),
    }[kind]


@xw.func
def fail():
    raise ValueError("no such model")


@xw.func
def process_id():
    return float(os.getpid())


@xw.func
def search_path():
    return [[os.getcwd(), sys.prefix], *([folder, ""] for folder in sys.path)]
