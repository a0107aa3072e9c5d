{# What DuckDB and Spark say differently. dbt compiles for DuckDB; what Spark says instead stands beside it in a comment,
   where lakehouse/builds/dialects.py finds it. Both are part of a model's logic, each of the rows that it computes.
   Sessions of both are in UTC. #}
{% macro in_both(duckdb, spark) %}
  {%- if '*/' in spark -%}
    {{ exceptions.raise_compiler_error(
        "found a comment or a macro of the window in what Spark says: " ~ spark ~ "; expected columns; next: compute it in "
        ~ "a column before"
    ) }}
  {%- endif -%}
  {{ return('/*spark:' ~ spark ~ '*/ ' ~ duckdb ~ ' /*end spark*/') }}
{% endmacro %}

{% macro instant_literal(day) %}{{ return("timestamptz '" ~ day ~ " 00:00:00+00'") }}{% endmacro %}

{# Whole minutes from one instant to another, counted in microseconds: whole numbers, so that sums do not depend on the
   order. date_diff would count the clock's ticks in between, and make a minute of 59.2 seconds. #}
{% macro whole_minutes(start, end) %}
  {{ return(omni.in_both(
      'cast(floor((epoch_us(' ~ end ~ ') - epoch_us(' ~ start ~ ')) / 60000000) as bigint)',
      'cast(floor((unix_micros(' ~ end ~ ') - unix_micros(' ~ start ~ ')) / 60000000) as bigint)'
  )) }}
{% endmacro %}

{# Aggregate: the last value that is known, by an order. DuckDB leaves out rows without a value, Spark does not. #}
{% macro latest(value, by) %}
  {{ return(omni.in_both(
      'max_by(' ~ value ~ ', ' ~ by ~ ')',
      'max_by(' ~ value ~ ', ' ~ by ~ ') filter (where ' ~ value ~ ' is not null)'
  )) }}
{% endmacro %}

{# Rows: one date per calendar day from one date to another, both inside. Spark refuses a generator inside a cast, and its
   days are dates already. #}
{% macro days_between(first, last) %}
  {{ return(omni.in_both(
      'cast(unnest(generate_series(' ~ first ~ ', ' ~ last ~ ', interval 1 day)) as date)',
      'explode(sequence(' ~ first ~ ', ' ~ last ~ ', interval 1 day))'
  )) }}
{% endmacro %}
