"""Words a sentence in Markdown files: the median, and the longest sentences.

    python launch/readability.py README.md docs/*.md

Headings, tables, code blocks and pictures are left out. Code within a sentence counts as one word, a link
as its text. An item of a list and a paragraph end a sentence, a colon or a semicolon does not.
"""

import pathlib
import re
import statistics
import sys

SHOWN = 3
FENCED = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[*+-]|\d+\.) )")
NO_PROSE = re.compile(r"^(?:#|\||---)")
END = re.compile(r"""(?<!\bal)[.!?][)"'*]*\s+(?=["'(*]*[A-Z0-9])""")


def sentences(markdown: str) -> list[str]:
    """The sentences of the prose, each on one line."""
    text = FENCED.sub("\n\n", markdown)
    lines = ("" if NO_PROSE.match(line) else line for line in text.splitlines())
    found = []
    for block in BLOCK.split("\n".join(lines)):
        block = re.sub(r"^\s*(?:[*+-]|\d+\.)\s+", "", block)
        block = re.sub(r"`[^`]+`", "CODE", block)
        block = re.sub(r"!\[[^]]*\]\([^)]*\)", "", block)
        block = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", block).replace("**", "")
        found += END.split(" ".join(block.split()))
    return [sentence for sentence in found if num_words(sentence)]


def num_words(sentence: str) -> int:
    return sum(any(char.isalnum() for char in word) for word in sentence.split())


def main(paths: list[str]) -> None:
    for path in paths:
        found = sorted(sentences(pathlib.Path(path).read_text()), key=num_words, reverse=True)
        if found:
            median = statistics.median(map(num_words, found))
            print(f"{path}: {len(found)} sentences, median {median:g} words")
        for sentence in found[:SHOWN]:
            print(f"  {num_words(sentence)}: {sentence}")


if __name__ == "__main__":
    main(sys.argv[1:])
