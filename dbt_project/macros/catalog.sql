{# What `dbt docs generate` says of the lake: tables and their owner. dbt-duckdb would say views of nobody, as its DuckDB
   reads them. #}
{% macro duckdb__get_catalog_results_sql() %}
    select
        tables.table_database,
        tables.table_schema,
        tables.table_name,
        'BASE TABLE' as table_type,
        tables.table_comment,
        columns.column_name,
        columns.column_index,
        columns.column_type,
        columns.column_comment,
        '{{ (graph.groups.values() | first).owner.name }}' as table_owner
    from tables
    inner join columns using (table_database, table_schema, table_name)
    order by tables.table_schema, tables.table_name, columns.column_index
{% endmacro %}
