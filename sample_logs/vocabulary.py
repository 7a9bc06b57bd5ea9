"""All texts of a run, each under one integer code."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: The code of the literal `-`, which stands for "no value" in text fields.
NO_TEXT = 0


class Vocabulary:
    """Texts and their codes.

    Records hold codes, so that millions of them can be built, sorted and summed
    as numpy arrays.
    """

    def __init__(self) -> None:
        self.texts: list[str] = ["-"]
        self._codes: dict[str, int] = {"-": NO_TEXT}

    def code(self, text: str) -> int:
        """The code of `text`, which is added if it is new."""
        code = self._codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code

    def codes(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """The codes of `texts`, in their order."""
        return np.array([self.code(text) for text in texts], dtype=np.int64)

    def arrow(self) -> pa.Array:
        """The texts so far, so that the element at a code is its text."""
        return pa.array(self.texts, type=pa.string())
