{# What is in the warehouse, and what to call it. #}

{% macro warehouse_name() -%}
    {{ target.path or target.dbname or target.host ~ ':' ~ target.port }}
{%- endmacro %}


{# Whether anything was loaded. #}
{% macro is_loaded() %}
    {{ return(adapter.dispatch('is_loaded')()) }}
{% endmacro %}

{% macro default__is_loaded() %}
    {%- set found = run_query(
        "select 1 from information_schema.tables"
        ~ " where table_schema = 'raw' and table_name = 'files'"
    ) -%}
    {{ return(found.rows | length > 0) }}
{% endmacro %}

{% macro spark__is_loaded() %}
    {{ return(spark__lacking_of([schema_named('raw') ~ '.files']) | length == 0) }}
{% endmacro %}


{# Which of these tables and views, given as schema.name, are not there. #}
{% macro lacking_of(names) %}
    {{ return(adapter.dispatch('lacking_of')(names)) }}
{% endmacro %}

{% macro default__lacking_of(names) %}
    {%- set there = run_query(
        "select table_schema || '.' || table_name from information_schema.tables"
    ).columns[0].values() -%}
    {{ return(names | reject('in', there) | list) }}
{% endmacro %}

{% macro spark__lacking_of(names) %}
    {%- set schemas = run_query('show schemas').columns[0].values() | list -%}
    {%- set wanted, there = {}, [] -%}
    {%- for name in names -%}
        {%- do wanted.setdefault(name.split('.')[0], []).append(name.split('.')[1]) -%}
    {%- endfor -%}
    {%- for schema, identifiers in wanted.items() if schema in schemas -%}
        {%- do there.extend(relations_in(schema, identifiers | join('|'))) -%}
    {%- endfor -%}
    {{ return(names | reject('in', there) | list) }}
{% endmacro %}

{# Spark: the tables and views of a schema, as schema.name. The pattern has | for "or" and * for anything. #}
{% macro relations_in(schema, pattern='*') %}
    {%- set found = [] -%}
    {%- for row in run_query("show tables in " ~ adapter.quote(schema) ~ " like '" ~ pattern ~ "'").rows -%}
        {%- do found.append(schema ~ '.' ~ row[1]) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{# Spark has no information_schema: the names tell which views may be meant, and then their columns and
   what they read, as the metastore may hold other warehouses too. #}
{% macro spark__find_read_views(by_month) %}
    {%- set found, views = [], {} -%}
    {%- for schema in run_query("show schemas like '" ~ schema_prefix() ~ "*'").columns[0].values()
        if schema.removeprefix(schema_prefix()) not in ('raw', 'staging', 'intermediate', 'marts') -%}
        {%- do views.update({schema: relations_in(schema)}) -%}
    {%- endfor -%}
    {%- for dataset, name in run_query(
        "select distinct dataset, "
        ~ ("regexp_replace(table_name, '_[0-9]{4}_[0-9]{2}__[0-9a-f]+$', '')" if by_month else "dataset")
        ~ " as view_name from " ~ schema_named('raw') ~ ".files where is_current and month is "
        ~ ("not null" if by_month else "null") ~ " order by dataset"
    ).rows -%}
        {%- set of_dataset = [] -%}
        {%- for schema, names in views.items() -%}
            {%- set source_name = schema.removeprefix(schema_prefix()) -%}
            {%- for view in ([name] if by_month else [name, name.removeprefix(source_name ~ '_')]) | unique
                if schema ~ '.' ~ view in names and is_read_view(schema, view) -%}
                {%- do of_dataset.append((dataset, schema, view)) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- do found.extend(of_dataset or [(dataset, none, none)]) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro is_read_view(schema, view) %}
    {%- set found = run_query(
        'describe extended ' ~ adapter.quote(schema) ~ '.' ~ adapter.quote(view)
    ) -%}
    {%- set columns = found.columns[0].values() | list -%}
    {%- set reads = namespace(raw=false) -%}
    {%- for row in found.rows if row[0] == 'View Text' and '`' ~ schema_named('raw') ~ '`.' in row[1] -%}
        {%- set reads.raw = true -%}
    {%- endfor -%}
    {{ return(
        reads.raw and 'source_month' in columns and 'file_key' in columns and 'row_ordinal' in columns
    ) }}
{% endmacro %}
