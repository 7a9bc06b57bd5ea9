"""Print labelled cases: `python -m integration_tests.cases [words of a name]`."""

import sys

from . import numbered_texts

words = " ".join(sys.argv[1:]).lower()
for _, text in numbered_texts():
    if words in text.splitlines()[0].lower():
        print(text.rstrip(), end="\n\n")
