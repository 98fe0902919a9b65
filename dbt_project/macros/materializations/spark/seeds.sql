{# Seeds on Spark: a table is overwritten, and made anew where its columns have changed. #}
{% macro spark__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- set held = adapter.get_columns_in_relation(old_relation) | map(attribute='name') | list -%}
    {% if full_refresh or held != agate_table.column_names | list %}
        {% do adapter.drop_relation(old_relation) %}
        {{ return(create_csv_table(model, agate_table)) }}
    {% endif %}
    {% if not agate_table.rows %}
        {# dbt loads no rows then, and the old ones would stay #}
        {% do run_query('truncate table ' ~ old_relation) %}
    {% endif %}
    {{ return('') }}
{% endmacro %}

{% macro seed_type(model, agate_table, index) -%}
    {%- set inferred = adapter.convert_type(agate_table, index) -%}
    {{ return(sql_type(model['config'].get('column_types', {}).get(agate_table.column_names[index], inferred))) }}
{%- endmacro %}

{% macro spark__create_csv_table(model, agate_table) %}
    {% set sql -%}
        create table {{ this }} (
        {%- for name in agate_table.column_names %}
            {{ adapter.quote(name) }} {{ seed_type(model, agate_table, loop.index0) }}
            comment {{ comment_text(model['columns'].get(name, {}).description) }}{{ ',' if not loop.last }}
        {%- endfor %}
        )
        using parquet
        comment {{ comment_text(model.description) }}
    {%- endset %}
    {% call statement('create_csv_table') -%}
        {{ sql }}
    {%- endcall %}
    {{ return(sql) }}
{% endmacro %}

{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set bindings = [] -%}
    {%- for row in agate_table.rows -%}
        {%- do bindings.extend(row) -%}
    {%- endfor -%}
    {% set sql -%}
        insert overwrite {{ this }}
        select
        {%- for name in agate_table.column_names %}
            cast(col{{ loop.index }} as {{ seed_type(model, agate_table, loop.index0) }}){{ ',' if not loop.last }}
        {%- endfor %}
        from values
        {%- for row in agate_table.rows %}
            ({% for _ in row %}%s{{ ', ' if not loop.last }}{% endfor %}){{ ',' if not loop.last }}
        {%- endfor %}
    {%- endset %}
    {% do adapter.add_query(sql, bindings=bindings, abridge_sql_log=True) %}
    {{ return(sql) }}
{% endmacro %}
