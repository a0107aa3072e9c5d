{# Models become Iceberg tables: the plugin computes their rows, in chunks of days where the window is long, and replaces
   the run's window of the Iceberg table in one commit. `incremental` with event_time replaces its window; `table` is
   replaced whole. #}
{% macro build_in_lakehouse(sql) %}
  {%- set w = omni.window() -%}
  {%- set upstream = [] -%}
  {%- for key in model.depends_on.nodes -%}{%- do upstream.append(graph.nodes.get(key) or graph.sources.get(key)) -%}{%- endfor -%}
  {{ run_hooks(pre_hooks) }}
  {% if config.get('contract').enforced %}{% do get_assert_columns_equivalent(sql) %}{% endif %}
  {% do adapter.store_relation('lakehouse', this, [], '', 'iceberg', {
      'name': this.identifier,
      'namespace': this.schema,
      'sql': sql,
      'node': model,
      'upstream': upstream,
      'lo': w.lo,
      'hi': w.hi,
      'forced': var('force', false),
      'full_refresh': flags.FULL_REFRESH,
  }) %}
  {% call noop_statement('main', 'OK', 'OK') %}{{ sql }}{% endcall %}
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

{# dbt asks for a schema when the configuration of a node is complete: the first moment at which it can be judged. #}
{% macro generate_schema_name(custom_schema_name, node) %}
  {%- if node.resource_type == 'model' -%}{%- do omni.refuse_another_reach(node) -%}{%- endif -%}
  {{ return(custom_schema_name or target.schema) }}
{% endmacro %}
