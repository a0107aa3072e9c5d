"""JSON that a person wrote means one thing, or is refused."""

import re

import pytest

from lakehouse.strict_json import load_json


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(mark):
    assert load_json(mark + '{"a": [1, null, "é"]}'.encode()) == {"a": [1, None, "é"]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": {"b": 1, "c": 2, "b": 1}}', "key 'b' twice in one object"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"a": 1', "Expecting"),
        (b"", "Expecting value"),
        ('{"a": "é"}'.encode("latin-1"), "can't decode byte 0xe9"),
        ('{"a": 1}'.encode("utf-16"), "can't decode byte 0xff"),
    ],
)
def test_what_means_nothing_or_two_things_is_refused_with_its_reason(content, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        load_json(content)
