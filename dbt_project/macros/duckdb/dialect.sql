{% macro duckdb__instant_literal(day) %}timestamptz '{{ day }} 00:00:00+00'{% endmacro %}

{# Whole minutes from one instant to another, counted in microseconds: whole numbers, so that sums do not depend on the
   order. date_diff would count the clock's ticks in between, and make a minute of 59.2 seconds. #}
{% macro duckdb__whole_minutes(start, end) -%}
cast(floor((epoch_us({{ end }}) - epoch_us({{ start }})) / 60000000) as bigint)
{%- endmacro %}

{# Rows: one date per calendar day from one date to another, both inside. #}
{% macro duckdb__days_between(first, last) -%}
cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}
