{# Hands the results of this invocation's data and unit tests to the ledger (lakehouse/dbt/results.py). #}
{% macro record_results(results) %}
  {%- if execute and flags.WHICH in ('build', 'test') -%}
    {%- set tests = [] -%}
    {%- for result in results
        if result.node.resource_type in ('test', 'unit_test') and result.status | string != 'skipped' -%}
      {#- A unit test that could not be compiled names its model only. -#}
      {%- set attached = (result.node.tested_node_unique_id or result.node.model) if result.node.resource_type == 'unit_test'
          else result.node.attached_node or (result.node.depends_on.nodes | first) -%}
      {%- do tests.append({
          'id': result.node.unique_id,
          'is_unit_test': result.node.resource_type == 'unit_test',
          'name': result.node.name,
          'asset': attached.split('.') | last,
          'config': {
              'severity': result.node.config.get('severity'),
              'fail_calc': result.node.config.get('fail_calc'),
              'limit': result.node.config.get('limit'),
              'warn_if': result.node.config.get('warn_if'),
              'error_if': result.node.config.get('error_if'),
          },
          'severity': (result.node.config.get('severity') or 'error') | string,
          'status': result.status | string,
          'failures': result.failures,
          'message': result.message if result.status | string == 'error' else none,
          'sql': result.node.compiled_code or '',
      }) -%}
    {%- endfor -%}
    {%- set w = omni.window() -%}
    {%- set relation = api.Relation.create(schema=target.schema, identifier='results') -%}
    {%- do adapter.store_relation('lakehouse', relation, [], '', 'results', {'lo': w.lo, 'hi': w.hi, 'tests': tests}) -%}
  {%- endif -%}
{% endmacro %}
