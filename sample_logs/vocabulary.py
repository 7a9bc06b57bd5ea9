"""All texts of a run, each under one integer code."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FIXED = "- ACCEPT REJECT OK NODATA SKIPDATA BPA ingress egress IPv4 IPv6".split()
#: Codes of the fixed texts. `NO_TEXT` is the literal `-`, which AWS writes for "no
#: value"; `BPA` is the reject reason of a VPC's Block Public Access.
NO_TEXT, ACCEPT, REJECT, OK, NODATA, SKIPDATA, BPA, INGRESS, EGRESS, IPV4, IPV6 = range(
    len(_FIXED)
)


class Vocabulary:
    """Texts and their codes.

    Records hold codes, so that numpy can draw, sort and sum millions of them.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._codes: dict[str, int] = {}
        self.codes(_FIXED)

    def code(self, text: str) -> int:
        """Return the code of `text`, which is added if it is new."""
        code = self._codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code

    def codes(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the codes of `texts`, in their order."""
        return np.array([self.code(text) for text in texts], dtype=np.int64)

    def arrow(self) -> pa.Array:
        """Return the texts so far; the element at a code is its text."""
        return pa.array(self.texts, type=pa.string())
