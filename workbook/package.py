"""An .xlsx as what it is: a zip archive of parts."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from types import MappingProxyType

# Office's zero of time in zip archives: the same parts give the same bytes.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def rewritten(
    xlsx: bytes, edit: Callable[[str, bytes], bytes], added: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """The same package with each part replaced by `edit(part's name, content)`, and the parts `added` to it."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(xlsx)) as package, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as result:
        parts = {part: edit(part, package.read(part)) for part in package.namelist()}
        for part, content in {**parts, **added}.items():
            info = zipfile.ZipInfo(part, _ZIP_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            result.writestr(info, content)
    return out.getvalue()
