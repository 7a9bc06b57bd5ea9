"""Print labelled cases: `python -m integration_tests.cases [words of a name]`."""

import sys

from . import texts_of_cases

words = " ".join(sys.argv[1:]).lower()
for _, number, text in texts_of_cases():
    if words in text.splitlines()[0].lower():
        print(text.replace("<n>", str(number)).rstrip(), end="\n\n")
