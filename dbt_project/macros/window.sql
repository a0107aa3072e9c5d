{# The window of this run: whole UTC days from --event-time-start to --event-time-end, or none for the whole history. #}
{% macro window() %}
  {#- A unit test brings its own rows. -#}
  {%- if model is defined and model.resource_type == 'unit_test' -%}{{ return({'lo': none, 'hi': none}) }}{%- endif -%}
  {%- set arguments = invocation_args_dict or {} -%}
  {%- set lo = arguments.get('event_time_start') or var('start', none) -%}
  {%- set hi = arguments.get('event_time_end') or var('end', none) -%}
  {%- if not lo and not hi -%}{{ return({'lo': none, 'hi': none}) }}{%- endif -%}
  {%- if not lo or not hi -%}
    {{ exceptions.raise_compiler_error("a window needs both --event-time-start and --event-time-end") }}
  {%- endif -%}
  {{ return({'lo': whole_day(lo), 'hi': whole_day(hi)}) }}
{% endmacro %}

{% macro whole_day(value) %}
  {%- set text = (value | string)[:19] | replace('T', ' ') -%}
  {%- if text | length > 10 and text[11:] not in ('00:00:00', '00:00') -%}
    {{ exceptions.raise_compiler_error("window bound " ~ value ~ ": expected a whole UTC day such as 2026-04-15") }}
  {%- endif -%}
  {{ return(text[:10]) }}
{% endmacro %}

{# What depends on the window stands between markers, so that the plugin can build the days in chunks, and narrow a failing
   test to one day (lakehouse/builds/chunks.py). Constants, so that partitions are pruned.
   kind: timestamp (an instant) or date. #}

{# Predicates. As the `where` of a read (macros/reads.sql) they say how far the model reads. #}

{# The rows of this run's window. #}
{% macro in_window(column, kind='timestamp') %}
  {%- set w = omni.window() -%}
  /*window:{{ column }}:{{ kind }}*/
  {%- if w.lo %} {{ column }} >= {{ bound_literal(w.lo, kind) }} and {{ column }} < {{ bound_literal(w.hi, kind) }}
  {%- else %} {{ column }} is not null
  {%- endif %} /*end window*/
{%- endmacro %}

{# Everything up to the end of this run's window. #}
{% macro up_to_window(column, kind='timestamp') %}
  {%- set w = omni.window() -%}
  /*up_to_window:{{ column }}:{{ kind }}*/
  {%- if w.hi %} {{ column }} < {{ bound_literal(w.hi, kind) }}{% else %} {{ column }} is not null{% endif %} /*end window*/
{%- endmacro %}

{# Everything before this run's window; nothing where there is no window. #}
{% macro before_window(column, kind='timestamp') %}
  {%- set w = omni.window() -%}
  /*before_window:{{ column }}:{{ kind }}*/
  {%- if w.lo %} {{ column }} < {{ bound_literal(w.lo, kind) }}{% else %} false{% endif %} /*end window*/
{%- endmacro %}

{# Expressions. What stands `otherwise`, where there is no window, is part of the model's logic in every window: its hash
   is in the marker. #}

{# The first day of this run's window; `otherwise` where there is no window. #}
{% macro first_day_of_window(otherwise) %}
  {%- set w = omni.window() -%}
  /*window_first_day:{{ local_md5(otherwise) }}:date*/
  {%- if w.lo %} date '{{ w.lo }}'{% else %} {{ otherwise }}{% endif %} /*end window*/
{%- endmacro %}

{# The last day of this run's window; `otherwise` where there is no window. #}
{% macro last_day_of_window(otherwise) %}
  {%- set w = omni.window() -%}
  /*window_last_day:{{ local_md5(otherwise) }}:date*/
  {%- if w.hi %} cast(date '{{ w.hi }}' - interval 1 day as date){% else %} {{ otherwise }}{% endif %} /*end window*/
{%- endmacro %}

{% macro bound_literal(day, kind) %}
  {%- if kind == 'date' %}date '{{ day }}'{% else %}{{ instant_literal(day) }}{% endif -%}
{%- endmacro %}

{# Generic tests on a table of days look at this run's window only; on one that is replaced whole, at all of it. #}
{% macro get_where_subquery(relation) -%}
  {%- set predicates = [] -%}
  {%- set tested = tested_node() -%}
  {%- set is_daily = tested and (tested.resource_type == 'source' or (tested.config.meta.omni or {}).partitioned == 'daily') -%}
  {%- if is_daily and tested.config.event_time -%}
    {%- set column = tested.config.event_time -%}
    {%- set kind = 'date' if tested.columns.get(column, {}).get('data_type') == 'date' else 'timestamp' -%}
    {%- do predicates.append(in_window(column, kind)) -%}
  {%- endif -%}
  {%- if config.get('where') -%}{%- do predicates.append('(' ~ config.get('where') ~ ')') -%}{%- endif -%}
  {%- if predicates -%}
    {%- do return('(select * from ' ~ relation ~ ' where ' ~ predicates | join(' and ') ~ ') dbt_subquery') -%}
  {%- else -%}
    {%- do return(relation) -%}
  {%- endif -%}
{%- endmacro %}

{# The model or source that a test is attached to. #}
{% macro tested_node() %}
  {%- if not execute -%}{{ return(none) }}{%- endif -%}
  {%- set key = model.attached_node or (model.depends_on.nodes | first) -%}
  {{ return(graph.nodes.get(key) or graph.sources.get(key)) }}
{% endmacro %}
