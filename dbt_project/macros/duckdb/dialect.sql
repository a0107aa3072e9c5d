{% macro duckdb__instant_literal(day) %}timestamptz '{{ day }} 00:00:00+00'{% endmacro %}

{# Whole minutes from one instant to another: whole numbers, so that sums do not depend on the order. #}
{% macro duckdb__whole_minutes(start, end) %}cast(floor(date_diff('second', {{ start }}, {{ end }}) / 60) as bigint){% endmacro %}

{# Rows: one per calendar day from one date to another, both inside. #}
{% macro duckdb__days_between(first, last) %}unnest(generate_series({{ first }}, {{ last }}, interval 1 day)){% endmacro %}
