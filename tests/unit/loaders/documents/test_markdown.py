"""Markdown: blocks, headings, front matter."""

import pytest

from loaders.documents.parsing import parse
from loaders.documents.refusals import NotParsable
from tests.unit.loaders.documents.anchors import read, shown, source_of

GUIDE = """\
---
title: The guide
tags: ["a", "", "b"]
owner: {name: x}
---
Before any heading.

# First {#one}

A paragraph
of two lines.

Second *level*
--------------

- a
  - b

    ```
    # no heading
    ```
- c

````python title="x"
```
# no heading
```
````

| a | b |
|---|---|
| 1 | 2 |

> quoted
> > twice

A note.[^1] A word.[^2]

### Third ###
    indented code

[^1]: What it says.

    More of it.
[^2]: short
[link]: https://example.org

<div>
<b>markup</b>
</div>

<!-- a comment -->

***
# First again
"""


def test_blocks_are_the_lines_of_the_source_under_their_headings():
    document = read(GUIDE.encode(), "guide.md")

    assert [(section.level, section.heading_path) for section in document.sections] == [
        (0, ()),
        (1, ("First",)),
        (2, ("First", "Second *level*")),
        (3, ("First", "Second *level*", "Third")),
        (1, ("First again",)),
    ]
    assert document.sections[3].heading_ids == ("one", None, None)
    assert shown(document.sections[2].blocks) == [
        ("heading", "Second *level*\n--------------"),
        ("list", "- a\n  - b\n\n    ```\n    # no heading\n    ```\n- c"),
        ("code", '````python title="x"\n```\n# no heading\n```\n````'),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("quote", "> quoted\n> > twice"),
        ("prose", "A note.[^1] A word.[^2]"),
    ]
    assert shown(document.sections[3].blocks) == [
        ("heading", "### Third ###"),
        ("code", "    indented code"),
        ("footnote", "[^1]: What it says."),
        ("footnote", "    More of it."),
        ("footnote", "[^2]: short"),
        ("html", "<div>\n<b>markup</b>\n</div>"),
    ]
    assert document.sections[2].blocks[2].language == "python"


def test_front_matter_is_metadata_and_not_a_block():
    document = read(GUIDE.encode(), "guide.md")

    assert (document.title, document.metadata) == ("The guide", {"title": "The guide", "tags": ("a", "b")})
    assert document.left_out == {"comment": 1, "link_definition": 1, "metadata": 1, "rule": 1}


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_are_normalised_and_the_anchor_keeps_those_of_the_source(ends: str):
    content = GUIDE.replace("\n", ends).encode()

    document = read(content, "guide.md")

    assert [block.text for block in document.blocks] == [block.text for block in read(GUIDE.encode(), "g.md").blocks]
    assert source_of(content, document.blocks[2]) == f"A paragraph{ends}of two lines.".encode()


def test_a_line_separator_ends_no_line():
    document = read("# a\u2028b\x0bc\x85d\n\ntext".encode(), "x.md")

    assert [block.text for block in document.blocks] == ["# a\u2028b\x0bc\x85d", "text"]


def test_a_footnote_of_one_word_at_the_end_is_a_block():
    document = read(b"text[^1]\n\n[^1]: word\n", "x.md")

    assert shown(document.blocks) == [("prose", "text[^1]"), ("footnote", "[^1]: word")]


def test_broken_front_matter_says_nothing_of_the_document():
    document = read(b"---\n{: [\n---\ntext\n", "x.md")

    assert (document.metadata, [block.text for block in document.blocks]) == ({}, ["text"])


def test_front_matter_alone_is_no_document():
    with pytest.raises(NotParsable) as refused:
        parse(b"---\ntitle: x\n---\n\n", "x.md")

    assert refused.value.reason == "empty"


def test_front_matter_that_multiplies_itself_takes_no_memory():
    levels = "".join(f"b{n}: &b{n} [{','.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 60))

    document = read(f"---\nb0: &b0 [x]\n{levels}---\ntext".encode(), "x.md")

    assert document.metadata["b0"] == ("x",)
