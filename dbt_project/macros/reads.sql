{# Reads of other assets. `ref` and `source` are dbt's own, with one argument more, and note what each read says of the
   model's reach, as keys of its meta: dbt merges those of all reads, and dbt's manifest has them after a mere parse.
   lakehouse/builds/reach.py reads them.
   where: the predicate of a window, on the day column of what is read; all rows without it. #}

{% macro ref() %}
  {%- set where = kwargs.pop('where', none) -%}
  {{ return(omni.read(varargs | last, builtins.ref(*varargs, **kwargs), where)) }}
{% endmacro %}

{% macro source() %}
  {%- set where = kwargs.pop('where', none) -%}
  {{ return(omni.read(varargs | last, builtins.source(*varargs, **kwargs), where)) }}
{% endmacro %}

{% macro read(name, relation, where) %}
  {%- if where is none -%}
    {%- do omni.note_read({'asset': name, 'reach': 'all', 'column': none}) -%}
    {{ return(relation) }}
  {%- endif -%}
  {%- set marked = modules.re.match('/\*(window|up_to_window|before_window):(\w+):(\w+)\*/', where | trim) -%}
  {%- set says = {'window': omni.in_window, 'up_to_window': omni.up_to_window, 'before_window': omni.before_window} -%}
  {%- if not marked or where | trim != says[marked.group(1)](marked.group(2), marked.group(3)) | trim -%}
    {{ exceptions.raise_compiler_error(
        "a read of " ~ name ~ " where " ~ where ~ ": expected in_window, up_to_window or before_window, on a column of it, "
        ~ "and nothing else; next: put other conditions into the where clause of the model"
    ) }}
  {%- endif -%}
  {%- set reach = {'window': 'same_day', 'up_to_window': 'up_to_day', 'before_window': 'up_to_day'}[marked.group(1)] -%}
  {%- do omni.note_read({'asset': name, 'reach': reach, 'column': marked.group(2)}) -%}
  {{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ')') }}
{% endmacro %}

{# What is read when the model is built must have been noted when it was parsed: the verdicts go by that. #}
{% macro note_read(read) %}
  {%- if model is defined and model.resource_type == 'model' -%}
    {%- set key = 'reads ' ~ read.values() | join(' ') -%}
    {%- if execute and key not in model.config.meta -%}
      {{ exceptions.raise_compiler_error(
          model.name ~ " " ~ key ~ ", which dbt did not see when it parsed the model; expected the same reads in every run; "
          ~ "next: take ref and source out of conditions that depend on the run"
      ) }}
    {%- endif -%}
    {%- do config(meta={key: read}) -%}
  {%- endif -%}
{% endmacro %}

{# Refuses a model whose YAML says another reach than its SQL. Called when dbt has merged the two, which it has not yet
   when it renders the SQL. #}
{% macro refuse_another_reach(model) %}
  {%- set said = model.config.meta.get('omni', {}) -%}
  {%- for key in said if key not in ('partitioned', 'reach', 'unchecked') -%}
    {{ exceptions.raise_compiler_error(
        model.name ~ ": meta.omni has " ~ key ~ "; expected partitioned, reach or unchecked; next: mend its YAML"
    ) }}
  {%- endfor -%}
  {%- if 'unchecked' in said and (said.unchecked is not string or not said.unchecked | trim) -%}
    {{ exceptions.raise_compiler_error(
        model.name ~ ": meta.omni.unchecked is " ~ said.unchecked ~ "; expected why it needs no test, in words; next: mend "
        ~ "its YAML"
    ) }}
  {%- endif -%}
  {%- for asset, reach in said.get('reach', {}).items() -%}
    {%- set reads = model.config.meta.values() | selectattr('asset', 'defined') | selectattr('asset', 'equalto', asset) -%}
    {%- set found = reads | map(attribute='reach') | list -%}
    {%- set widest = ['all', 'up_to_day', 'same_day'] | select('in', found) | first | default('nothing of it', true) -%}
    {%- if reach != widest -%}
      {{ exceptions.raise_compiler_error(
          model.name ~ ": its YAML says that it reads " ~ asset ~ " " ~ reach ~ ", its SQL reads " ~ widest
          ~ "; expected the same, or nothing in the YAML; next: take " ~ asset ~ " out of meta.omni.reach, or read it with "
          ~ "another where= in the SQL"
      ) }}
    {%- endif -%}
  {%- endfor -%}
{% endmacro %}
