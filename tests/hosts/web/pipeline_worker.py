"""Run xlwings' Office.js pipeline, in a separate process, with the functions that `from vram_udf import *` registers.

Reads a JSON list of calls from standard input; writes the functions' metadata and the results to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import types

import xlwings.server

registered = types.ModuleType("main")
exec(sys.argv[1], registered.__dict__)


async def answers(calls: list[dict]) -> list[object]:
    return [await xlwings.server.custom_functions_call(call, registered) for call in calls]


metadata = xlwings.server.custom_functions_meta(registered)
json.dump({"metadata": metadata, "answers": asyncio.run(answers(json.load(sys.stdin)))}, sys.stdout, allow_nan=False)
