{# Refuses to build upon what is not ready (orchestration/readiness/gate.py), before the first model runs. Tests are not
   gated; what they are recorded for follows from what the project declares. Nor is development: nobody consumes it. #}
{% macro refuse_what_is_not_ready() %}
  {%- if execute and flags.WHICH in ('build', 'run', 'test') and target.name != 'dev' -%}
    {%- set w = omni.window() -%}
    {%- set relation = api.Relation.create(schema=target.schema, identifier='gate') -%}
    {%- do adapter.store_relation('gate', relation, [], '', 'gate', {
        'nodes': graph.nodes,
        'sources': graph.sources,
        'selected': selected_resources,
        'builds': flags.WHICH != 'test',
        'lo': w.lo,
        'hi': w.hi,
        'forced': var('force', false),
    }) -%}
  {%- endif -%}
{% endmacro %}
