{% macro spark__instant_literal(day) %}timestamp '{{ day }} 00:00:00'{% endmacro %}

{% macro spark__whole_minutes(start, end) -%}
cast(floor((unix_micros({{ end }}) - unix_micros({{ start }})) / 60000000) as bigint)
{%- endmacro %}

{# Dates already: Spark refuses a generator inside another expression, such as a cast. #}
{% macro spark__days_between(first, last) %}explode(sequence({{ first }}, {{ last }}, interval 1 day)){% endmacro %}
