{# Refuses to build or test what no table of the lake can be made of (lakehouse/dbt/doors/kept_models.py), before the first model. #}
{% macro refuse_what_no_table_keeps() %}
  {%- if execute and flags.WHICH in ('build', 'run', 'test') -%}
    {%- set relation = api.Relation.create(schema=target.schema, identifier='doors') -%}
    {%- do adapter.store_relation('lakehouse', relation, [], '', 'selection', {
        'nodes': graph.nodes,
        'sources': graph.sources,
        'selected': selected_resources,
    }) -%}
  {%- endif -%}
{% endmacro %}

{# Removes what target dev built: `dbt run-operation drop_development --target dev`. #}
{% macro drop_development() %}
  {%- if execute -%}
    {%- set relation = api.Relation.create(schema=target.schema, identifier='development') -%}
    {%- do adapter.store_relation('lakehouse', relation, [], '', 'drop', {}) -%}
  {%- endif -%}
{% endmacro %}
