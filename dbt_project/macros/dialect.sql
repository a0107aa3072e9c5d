{# What DuckDB and Spark say differently. Sessions of both are in UTC. #}
{% macro instant_literal(day) %}{{ return(adapter.dispatch('instant_literal', 'omni')(day)) }}{% endmacro %}
{% macro whole_minutes(start, end) %}{{ return(adapter.dispatch('whole_minutes', 'omni')(start, end)) }}{% endmacro %}
{% macro days_between(first, last) %}{{ return(adapter.dispatch('days_between', 'omni')(first, last)) }}{% endmacro %}
