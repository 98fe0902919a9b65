{# The read view of each dataset in use, as (dataset, relation): those by month, or those of single
   files, of all sources, as they are in the warehouse. So whoever asks follows the registry of
   sources, and plain `dbt build` does, which knows nothing of Python.

   A read view is a view with the three columns that say where a row comes from, in the schema of its
   source. The raw tables of a dataset by month are named after it: <view>_2024_01__1512a953. A
   dataset of single files has the name of its view, or <source>_<view>. #}
{% macro read_views(by_month=true) %}
    {%- if not execute or not is_loaded() -%}
        {# while the project is parsed or linted #}
        {{ return([]) }}
    {%- endif -%}
    {%- set found = find_read_views(by_month) -%}
    {%- set given = [] -%}
    {%- for dataset, schema, view in found -%}
        {%- if view is none -%}
            {# to count no rows would be wrong, and would stay so when the view comes back #}
            {% do exceptions.raise_compiler_error(
                'The dataset ' ~ dataset ~ ' has ' ~ ('months' if by_month else 'files')
                ~ ' in raw.files and no read view. Make it with: medallion load, or'
                ~ ' python -m ingestion.'
            ) %}
        {%- endif -%}
        {%- do given.append((dataset, api.Relation.create(schema=schema, identifier=view))) -%}
    {%- endfor -%}
    {{ return(given) }}
{% endmacro %}


{# The datasets in use, by month or those of single files, as (dataset, schema, read view): a row for each
   view with the name that the dataset's would have, or nulls where there is none. #}
{% macro find_read_views(by_month) %}
    {{ return(adapter.dispatch('find_read_views')(by_month)) }}
{% endmacro %}

{% macro default__find_read_views(by_month) %}
    {%- if by_month -%}
        {%- set view_name = "regexp_replace(table_name, '_[0-9]{4}_[0-9]{2}__[0-9a-f]+$', '')" -%}
        {%- set names = "(views.table_name)" -%}
    {%- else -%}
        {%- set view_name = "dataset" -%}
        {%- set names = "(views.table_name, concat(views.table_schema, '_', views.table_name))" -%}
    {%- endif -%}
    {%- set found = run_query(
        "with datasets as ("
        ~ "select distinct dataset, " ~ view_name ~ " as view_name"
        ~ " from raw.files where is_current and month is " ~ ("not null" if by_month else "null")
        ~ "), views as ("
        ~ "select table_schema, table_name from information_schema.columns"
        ~ " where table_catalog = current_database()"
        ~ " and column_name in ('source_month', 'file_key', 'row_ordinal')"
        ~ " group by table_schema, table_name having count(*) = 3"
        ~ ") select datasets.dataset, views.table_schema, views.table_name from datasets"
        ~ " left join views on datasets.view_name in " ~ names ~ " order by 1, 2, 3"
    ) -%}
    {{ return(found.rows) }}
{% endmacro %}
