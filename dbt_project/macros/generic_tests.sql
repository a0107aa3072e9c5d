{# The rows of a table whose columns, taken together, stand more than once. #}
{% test unique_together(model, columns) %}
select {{ columns | join(', ') }}, count(*) as occurrences
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{# The rows of a table for which a condition does not hold (null does not hold either). #}
{% test holds_true(model, condition) %}
select *
from {{ model }}
where not coalesce({{ condition }}, false)
{% endtest %}

{# The days on which a table does not hold each key of the table before it once, that is all of its rows but those that
   stand twice.
   of: the table before; key: columns; day: the time column that both have; kind: timestamp or date. #}
{% test rows_conserved(model, of, key, day, kind='timestamp') %}
with rows_before as (
    select distinct
        cast({{ day }} as date) as on_day,
        {{ key | join(', ') }}
    from {{ of }}
    where {{ in_window(day, kind) }}
),

days_before as (
    select on_day, count(*) as expected_rows
    from rows_before
    group by on_day
),

days_here as (
    select cast({{ day }} as date) as on_day, count(*) as found_rows
    from {{ model }}
    group by cast({{ day }} as date)
)

select
    coalesce(days_before.on_day, days_here.on_day) as on_day,
    days_before.expected_rows,
    days_here.found_rows
from days_before
full outer join days_here on days_before.on_day = days_here.on_day
where coalesce(days_before.expected_rows, 0) <> coalesce(days_here.found_rows, 0)
{% endtest %}

{# The days on which a measure does not add up to the rows of another table that it counts.
   of: that table; condition: which of its rows; day: its time column; model_day: the date of the measure. Without days
   the whole tables are compared: for a model that is not partitioned. #}
{% test counts_rows(model, column_name, of, condition='true', day=none, model_day=none) %}
with counted as (
    select
        {% if day %}cast({{ day }} as date){% else %}1{% endif %} as on_day,
        count(*) as expected_count
    from {{ of }}
    where ({{ condition }}){% if day %} and {{ in_window(day) }}{% endif %}
    {% if day %}group by cast({{ day }} as date){% endif %}
),

measured as (
    select
        {{ model_day or 1 }} as on_day,
        sum({{ column_name }}) as found_count
    from {{ model }}
    {% if model_day %}group by {{ model_day }}{% endif %}
)

select
    coalesce(counted.on_day, measured.on_day) as on_day,
    counted.expected_count,
    measured.found_count
from counted
full outer join measured on counted.on_day = measured.on_day
where coalesce(counted.expected_count, 0) <> coalesce(measured.found_count, 0)
{% endtest %}
