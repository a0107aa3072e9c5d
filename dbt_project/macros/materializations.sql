{# Models become Iceberg tables: their rows go to a temporary table, and the plugin replaces the run's window of the
   Iceberg table in one commit. `incremental` with event_time replaces its window; `table` is replaced whole. #}
{% macro build_in_lakehouse(sql) %}
  {%- set rows = 'rows_of_' ~ this.identifier -%}
  {%- set w = omni.window() -%}
  {{ run_hooks(pre_hooks) }}
  {% if config.get('contract').enforced %}{% do get_assert_columns_equivalent(sql) %}{% endif %}
  {% call statement('main') %}
    create or replace temporary table {{ rows }} as (
      {{ sql }}
    )
  {% endcall %}
  {% do adapter.store_relation('lakehouse', this, [], '', 'iceberg', {
      'name': this.identifier,
      'namespace': this.schema,
      'relation': rows,
      'checksum': model.checksum.checksum,
      'upstream': model.depends_on.nodes,
      'time_column': config.get('event_time'),
      'meta': config.get('meta') or {},
      'lo': w.lo,
      'hi': w.hi,
      'forced': var('force', false),
  }) %}
  {% do run_query('drop table if exists ' ~ rows) %}
  {{ run_hooks(post_hooks) }}
  {% do adapter.commit() %}
  {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmacro %}

{% materialization incremental, adapter='duckdb', supported_languages=['sql'] %}
  {{ return(build_in_lakehouse(compiled_code)) }}
{% endmaterialization %}

{% materialization table, adapter='duckdb', supported_languages=['sql'] %}
  {{ return(build_in_lakehouse(compiled_code)) }}
{% endmaterialization %}

{% macro generate_schema_name(custom_schema_name, node) %}{{ return(custom_schema_name or target.schema) }}{% endmacro %}
