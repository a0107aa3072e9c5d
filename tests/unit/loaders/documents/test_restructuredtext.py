"""reStructuredText: blocks at the left margin, headings by their looks."""

from tests.unit.loaders.documents.anchors import read, shown

PEP = """\
PEP: 9999
Title: A proposal,
       of two lines
Author: Some One

.. contents::

Abstract
========

A paragraph
of two lines.

.. _there:

====
Över
====

* a

  * b

    more
* c

1. one
2. two

1. Numbered
-----------

Code::

  # x
  ===

  y

Quoted::

> a
> b

No code.

.. code-block:: python
   :name: x

   print()

.. note:: Mind
   this.

.. [1] A footnote
   of two lines.
.. _target: https://example.org
.. |x| replace:: y
.. a comment
   ========

===== =====
a     b
===== =====
1     2

3     4
===== =====

+---+---+
| a | b |
+---+---+

term
    meaning
other
    meaning

    more

  a quote

>>> 1
1

| line
| block

----

:field: value
:other: value

..

The end
"""


def test_blocks_are_the_lines_of_the_source_under_their_headings():
    document = read(PEP.encode(), "pep.rst")

    assert [(section.level, section.heading_path, section.heading_ids[-1]) for section in document.sections] == [
        (1, ("Abstract",), None),
        (2, ("Abstract", "Över"), "there"),
        (3, ("Abstract", "Över", "1. Numbered"), None),
    ]
    assert shown(document.sections[1].blocks) == [
        ("heading", "====\nÖver\n===="),
        ("list", "* a\n\n  * b\n\n    more\n* c"),
        ("list", "1. one\n2. two"),
    ]
    assert shown(document.sections[2].blocks) == [
        ("heading", "1. Numbered\n-----------"),
        ("prose", "Code::"),
        ("code", "  # x\n  ===\n\n  y"),
        ("prose", "Quoted::"),
        ("code", "> a\n> b"),
        ("prose", "No code."),
        ("code", ".. code-block:: python\n   :name: x\n\n   print()"),
        ("prose", ".. note:: Mind\n   this."),
        ("footnote", ".. [1] A footnote\n   of two lines."),
        ("table", "===== =====\na     b\n===== =====\n1     2\n\n3     4\n===== ====="),
        ("table", "+---+---+\n| a | b |\n+---+---+"),
        ("list", "term\n    meaning\nother\n    meaning\n\n    more\n\n  a quote"),
        ("code", ">>> 1\n1"),
        ("prose", "| line\n| block"),
        ("list", ":field: value\n:other: value"),
        ("prose", "The end"),
    ]
    assert document.sections[2].blocks[6].language == "python"


def test_the_header_of_a_pep_is_metadata():
    document = read(PEP.encode(), "pep.rst")

    assert document.title == "A proposal, of two lines"
    assert document.metadata == {"PEP": "9999", "Title": "A proposal, of two lines", "Author": "Some One"}
    assert document.left_out == {"comment": 2, "link_definition": 3, "metadata": 1, "navigation": 1, "rule": 1}


def test_fields_before_any_other_block_are_metadata():
    document = read(b"Title\n=====\n\n:Author: Me\n:Date: 2026-01-02\n\ntext\n", "x.rst")

    assert (document.title, document.metadata) == ("Title", {"Author": "Me", "Date": "2026-01-02"})
    assert [block.text for block in document.blocks] == ["Title\n=====", "text"]


def test_no_directive_brings_in_a_file_or_raw_markup():
    document = read(b".. include:: /etc/hostname\n\n.. raw:: html\n   :file: /etc/hostname\n\ntext", "x.rst")

    assert (shown(document.blocks), document.left_out) == ([("prose", "text")], {"navigation": 2})


def test_a_heading_of_wide_characters_needs_a_line_as_wide():
    document = read("集群\n====\n\n是什么\n\n前言\n前言的\n---\n".encode(), "x.rst")

    assert [section.heading_path for section in document.sections] == [("集群",)]


def test_a_simple_table_ends_at_its_last_border():
    table = "== ==\na  b\n== ==\n1  2\n\n3  4\n== =="

    document = read(f"{table}\nclose behind\n\n{table}".encode(), "x.rst")

    assert shown(document.blocks) == [("table", table), ("prose", "close behind"), ("table", table)]


def test_line_ends_and_form_feeds_change_no_block():
    document = read(PEP.replace("\n", "\r\n").replace("The end", "\f\r\nThe end").encode("utf-16"), "pep.rst")

    assert [block.text for block in document.blocks] == [block.text for block in read(PEP.encode(), "pep.rst").blocks]
