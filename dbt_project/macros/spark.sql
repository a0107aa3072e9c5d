{# With target spark, tests run on Spark, too (lakehouse/dbt/spark/plugin.py): their rows become a table of DuckDB's, where
   dbt counts and compares them as ever. #}
{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}
  {{ return(dbt.default__get_test_sql(omni.rows_of(main_sql), fail_calc, warn_if, error_if, limit)) }}
{% endmacro %}

{% macro duckdb__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) %}
  {{ return(dbt.default__get_unit_test_sql(omni.rows_of(main_sql), expected_fixture_sql, expected_column_names)) }}
{% endmacro %}

{% macro rows_of(sql) %}
  {%- if target.name != 'spark' -%}{{ return(sql) }}{%- endif -%}
  {%- set table = api.Relation.create(identifier='rows_of_test') -%}
  {%- do adapter.store_relation('lakehouse', table, [], '', 'rows', {'sql': sql, 'test': local_md5(model.unique_id)}) -%}
  {{ return('select * from ' ~ table.identifier) }}
{% endmacro %}
