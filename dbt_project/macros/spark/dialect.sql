{% macro spark__instant_literal(day) %}timestamp '{{ day }} 00:00:00'{% endmacro %}

{% macro spark__whole_minutes(start, end) %}cast(floor((unix_timestamp({{ end }}) - unix_timestamp({{ start }})) / 60) as bigint){% endmacro %}

{% macro spark__days_between(first, last) %}explode(sequence({{ first }}, {{ last }}, interval 1 day)){% endmacro %}
