"""The documents can be read once, from front to back: their sentences are short."""

import pathlib
import statistics

import pytest

from launch import readability

ROOT = pathlib.Path(__file__).parents[1]
MOST, MOST_IN_THE_MIDDLE = 35, 16
FOLDERS = ("docs", "docs/howto", "docs/reference", "docs/tutorials")
DOCUMENTS = [ROOT / "README.md", *(p for f in FOLDERS for p in sorted(ROOT.glob(f"{f}/*.md")))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_is_long_and_half_of_them_are_short(path):
    found = readability.sentences(path.read_text())
    long = [sentence for sentence in found if readability.num_words(sentence) > MOST]
    assert not long
    assert statistics.median(map(readability.num_words, found)) <= MOST_IN_THE_MIDDLE


def test_sentences_are_those_of_the_prose():
    """Counted by hand."""
    text = """# A heading

It takes `a b c` from [a page](x.md), as Ho et al. 2020 say. 500 steps
are **enough.** Is 0.5 less?

| a table | has no sentence. |
|---|---|

![A picture](a.png)

* An item
  of two lines: this
* Another one

```
Code. Not prose.
```
"""
    found = readability.sentences(text)
    assert found == [
        "It takes CODE from a page, as Ho et al. 2020 say",
        "500 steps are enough",
        "Is 0.5 less?",
        "An item of two lines: this",
        "Another one",
    ]
    assert [readability.num_words(sentence) for sentence in found] == [12, 4, 3, 6, 2]
