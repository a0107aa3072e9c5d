"""Columns of real Iceberg tables follow a contract that has changed, or refuse to."""

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from lakehouse.errors import IncompatibleSchema
from lakehouse.tables.catalog import ensure_table, open_catalog

TEXTS = ListType(element_id=1001, element_type=StringType(), element_required=False)
NUMBERS = ListType(element_id=1001, element_type=LongType(), element_required=False)


def asked(settings, kind, name="value"):
    schema = Schema(NestedField(1, "key", StringType()), NestedField(2, name, kind))
    return ensure_table(open_catalog(settings), "bronze.shape", schema, {"key": "identity"})


def types(table):
    return {field.name: field.field_type for field in table.schema().fields}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (IntegerType(), LongType(), LongType()),
        (FloatType(), DoubleType(), DoubleType()),
        (DecimalType(9, 2), DecimalType(18, 2), DecimalType(18, 2)),
        (LongType(), IntegerType(), LongType()),
        (DecimalType(18, 2), DecimalType(9, 2), DecimalType(18, 2)),
        (StringType(), StringType(), StringType()),
    ],
)
def test_a_wider_type_widens_the_column_and_a_narrower_one_leaves_it(settings, old, new, expected):
    asked(settings, old)

    assert types(asked(settings, new))["value"] == expected
    assert types(open_catalog(settings).load_table("bronze.shape"))["value"] == expected


def test_a_list_that_is_the_same_but_for_field_ids_changes_nothing(settings):
    before = asked(settings, TEXTS).metadata_location

    assert asked(settings, TEXTS).metadata_location == before


def test_a_new_column_is_added_and_one_that_is_no_longer_named_stays(settings):
    asked(settings, LongType())

    assert types(asked(settings, StringType(), name="other")) == {
        "key": StringType(),
        "value": LongType(),
        "other": StringType(),
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LongType(), StringType()),
        (StringType(), BinaryType()),
        (LongType(), DoubleType()),
        (DateType(), TimestamptzType()),
        (DecimalType(9, 2), DecimalType(12, 3)),
        (TEXTS, NUMBERS),
        (TEXTS, StringType()),
    ],
)
def test_any_other_type_is_refused_and_the_table_stays_as_it_is(settings, old, new):
    before = asked(settings, old).metadata_location

    with pytest.raises(IncompatibleSchema, match=r"bronze\.shape: value is .*, now .*; expected .*; next: "):
        asked(settings, new)

    assert open_catalog(settings).load_table("bronze.shape").metadata_location == before
