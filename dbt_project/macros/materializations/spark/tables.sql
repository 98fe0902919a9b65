{#
  Tables on Spark. There are no transactions: each step is one statement, in an order in which a run that
  is killed after any of them leaves nothing wrong, and the next run goes on.

  MEDALLION_SPARK_FORMAT says what the tables of models are: folders of Parquet files, or tables of Iceberg,
  where each statement is seen as a whole or not at all. Seeds and build records are of Parquet files with
  both.
#}
{% macro is_iceberg() %}
    {{ return(env_var('MEDALLION_SPARK_FORMAT', 'parquet') == 'iceberg') }}
{% endmacro %}

{# A property of the table, as for a view: it comes and goes with it. #}
{% macro spark__has_fingerprint(relation, fingerprint) %}
    {%- set existing = load_cached_relation(relation) -%}
    {{ return(
        existing is not none and existing.is_table and not should_full_refresh()
        and property_of(relation, 'fingerprint') == fingerprint_with_format(fingerprint)
    ) }}
{% endmacro %}

{# A table of the other format is built anew. #}
{% macro fingerprint_with_format(fingerprint) %}
    {{ return(fingerprint ~ (' iceberg' if is_iceberg() else '')) }}
{% endmacro %}

{% macro has_format_asked_for(table) %}
    {{ return((property_of(table, 'fingerprint') or '').endswith(' iceberg') == is_iceberg()) }}
{% endmacro %}

{% macro property_of(relation, name) %}
    {{ return(run_query('show tblproperties ' ~ relation ~ " ('medallion." ~ name ~ "')").rows[0][1]) }}
{% endmacro %}


{# The records of months go before their rows. #}
{% macro spark__start_table(relation, sql, fingerprint) %}
    {% do write_record(recorded_name(relation), fingerprint) %}
    {% do drop_aside(load_cached_relation(relation)) %}
    {% do spark__create_empty_table(relation, sql, fingerprint) %}
    {% do adapter.cache_added(relation.incorporate(type='table')) %}
{% endmacro %}


{% macro spark__create_empty_table(relation, sql, fingerprint) %}
    {%- set columns = {} -%}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(sql) %}
        {%- for name, column in model.columns.items() -%}
            {%- do columns.update({name: sql_type(column.data_type)}) -%}
        {%- endfor -%}
    {% else %}
        {%- for row in run_query('describe query select * from (' ~ sql ~ ') as model').rows -%}
            {%- do columns.update({row[0]: row[1]}) -%}
        {%- endfor -%}
    {% endif %}
    {% call statement('create_empty_table') -%}
        create table {{ relation }} (
        {%- for name, type in columns.items() %}
            {{ adapter.quote(name) }} {{ type }} comment {{ comment_text(column_comment(name)) }}
            {{- ',' if not loop.last }}
        {%- endfor %}
        )
        using {{ 'iceberg' if is_iceberg() else 'parquet' }}
        {% if config.get('materialized') == 'by_month' -%}
        partitioned by (service, source_month)
        {%- endif %}
        comment {{ comment_text(model.description) }}
        {% if is_iceberg() -%}
        location {{ comment_text(new_location(relation)) }}
        {%- endif %}
        tblproperties (
            'medallion.fingerprint' = '{{ fingerprint_with_format(fingerprint) }}', 'medallion.docs' = '{{ docs_key() }}'
        )
    {%- endcall %}
{% endmacro %}

{# A folder that no table of Iceberg had before: such a table keeps its folder when it is renamed. #}
{% macro new_location(relation) %}
    {%- for name, value in run_query('describe schema ' ~ relation.without_identifier()).rows if name == 'Location' -%}
        {{ return(value ~ '/' ~ relation.identifier ~ '-' ~ invocation_id) }}
    {%- endfor -%}
{% endmacro %}

{#
    Hive's metastore keeps no more characters of it. It tries ten times in 20 seconds to keep them;
    then Spark describes the table in a way that only Spark reads, and Iceberg's table is not made.
#}
{% macro column_comment(name) %}
    {%- set description = model.columns.get(name, {}).description or '' -%}
    {{ return(description if description | length <= 256 else description[:255] ~ '…') }}
{% endmacro %}

{% macro comment_text(text) -%}
    {{ return("'" ~ (text or '') | replace('\\', '\\\\') | replace("'", "\\'") ~ "'") }}
{%- endmacro %}


{# Spark tells the columns of a query without running it. #}
{% macro spark__get_assert_columns_equivalent(sql) %}
    {%- set wanted, given = [], [] -%}
    {%- for name, column in model.columns.items() -%}
        {%- do wanted.append(column_and_type(name, sql_type(column.data_type))) -%}
    {%- endfor -%}
    {%- for row in run_query('describe query select * from (' ~ sql ~ ') as model').rows -%}
        {%- do given.append(column_and_type(row[0], row[1])) -%}
    {%- endfor -%}
    {%- if wanted | map(attribute='formatted') | sort != given | map(attribute='formatted') | sort -%}
        {% do exceptions.raise_contract_error(wanted, given) %}
    {%- endif -%}
{% endmacro %}

{% macro column_and_type(name, type) %}
    {%- set type = type | lower | replace(' ', '') -%}
    {{ return({'name': name, 'data_type': type, 'formatted': name ~ ' ' ~ type}) }}
{% endmacro %}


{# Spark forgets a table before it deletes its folder, and makes no table where a folder is. So a table is
   dropped by a name that no other table will have: what a server leaves that ends meanwhile is in no one's way. #}
{% macro drop_aside(relation) %}
    {% if relation is not none and relation.is_table %}
        {% do adapter.drop_relation(set_aside(relation)) %}
    {% elif relation is not none %}
        {% do adapter.drop_relation(relation) %}
    {% endif %}
{% endmacro %}

{# Rename a table to a name that no other run of dbt gives; returns it. #}
{% macro set_aside(relation) %}
    {%- set aside = api.Relation.create(
        schema=relation.schema,
        identifier=relation.identifier ~ '__old_' ~ invocation_id | replace('-', ''),
        type='table'
    ) -%}
    {% do adapter.rename_relation(relation, aside) %}
    {{ return(aside) }}
{% endmacro %}

{# Drop the tables that runs which were killed had set aside. #}
{% macro drop_leftovers() %}
    {%- for schema in run_query("show schemas like '" ~ schema_prefix() ~ "*'").columns[0].values()
        if schema.removeprefix(schema_prefix()) in ('staging', 'intermediate', 'marts') -%}
        {%- for name in relations_in(schema, '*__old_*') -%}
            {% do adapter.drop_relation(api.Relation.create(
                schema=schema, identifier=name.split('.')[-1], type='table'
            )) %}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}


{# With Iceberg's catalog, a table of any format that is dropped leaves its files, unless it is told not to. #}
{% macro spark__drop_relation(relation) %}
    {% call statement('drop_relation', auto_begin=False) -%}
        drop {{ relation.type }} if exists {{ relation }}{{ ' purge' if relation.is_table }}
    {%- endcall %}
{% endmacro %}


{% macro spark__give_up_table(relation) %}
    {% do drop_aside(relation) %}
    {% do write_record(recorded_name(relation), '') %}
{% endmacro %}


{# The mark says what was begun, until the records are in place. #}
{% macro spark__promote_table(work, target_relation, existing) %}
    {% do write_record(recorded_name(target_relation), 'promoting') %}
    {%- set old = set_aside(existing) if existing.is_table else existing -%}
    {% if not existing.is_table %}
        {% do adapter.drop_relation(existing) %}
    {% endif %}
    {% do adapter.rename_relation(work, target_relation) %}
    {% do move_records(work, target_relation) %}
    {% if existing.is_table %}
        {% do adapter.drop_relation(old) %}
    {% endif %}
{% endmacro %}

{% macro move_records(work, target_relation) %}
    {%- set columns = record_columns() | replace('built_at', 'current_timestamp() as built_at') -%}
    {% do rewrite_records(
        recorded_name(target_relation),
        'select ' ~ columns ~ ' from ' ~ month_builds() ~ " where table_name = '" ~ recorded_name(work) ~ "'"
    ) %}
    {% do write_record(recorded_name(work), '') %}
{% endmacro %}

{# What runs that were killed had begun to promote. Spark gives a table its new name before it moves its
   folder: where the server ended between the two, the table has no rows, and is given up. #}
{% macro finish_promotions() %}
    {%- for row in run_query(
        'select table_name from ' ~ newest_records() ~ " where definition = 'promoting'"
    ).rows -%}
        {%- set schema, identifier = row[0].split('.') -%}
        {%- set target_relation = api.Relation.create(schema=schema_named(schema), identifier=identifier, type='table') -%}
        {%- set work = api.Relation.create(schema=schema_named(schema), identifier=identifier ~ '__rebuild', type='table') -%}
        {%- if load_cached_relation(work) is not none -%}
            {% do drop_aside(load_cached_relation(target_relation)) %}
            {% do adapter.rename_relation(work, target_relation) %}
        {%- endif -%}
        {%- set promoted = load_cached_relation(target_relation) -%}
        {%- if promoted is not none and holds_recorded_rows(promoted, recorded_name(work)) -%}
            {% do move_records(work, target_relation) %}
        {%- else -%}
            {% do drop_aside(promoted) %}
            {% do write_record(recorded_name(target_relation), '') %}
            {% do write_record(recorded_name(work), '') %}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{# Whether a table has the rows that the build records of this name tell of, month by month. #}
{% macro holds_recorded_rows(relation, table_name) %}
    {%- set recorded = run_query(
        'select service, source_month, row_count from ' ~ month_builds() ~ " where table_name = '" ~ table_name
        ~ "' and row_count > 0"
    ).rows -%}
    {%- if not recorded -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set held = run_query(
        'select service, source_month, count(*) from ' ~ relation ~ ' group by service, source_month'
    ).rows -%}
    {{ return(recorded | map('list') | map('string') | sort == held | map('list') | map('string') | sort) }}
{% endmacro %}


{# Descriptions are written when a table is made, and here where they have changed since. #}
{% macro spark__persist_changed_docs(relation) %}
    {%- if property_of(relation, 'docs') != docs_key() -%}
        {% do run_query('comment on table ' ~ relation ~ ' is ' ~ comment_text(model.description)) %}
        {%- for row in run_query('describe ' ~ relation).rows
            if row[0] in model.columns and (row[2] or '') != column_comment(row[0]) -%}
            {% do run_query(
                'alter table ' ~ relation ~ ' change column ' ~ adapter.quote(row[0]) ~ ' comment '
                ~ comment_text(column_comment(row[0]))
            ) %}
        {%- endfor -%}
        {% do run_query('alter table ' ~ relation ~ " set tblproperties ('medallion.docs' = '" ~ docs_key() ~ "')") %}
    {%- endif -%}
{% endmacro %}

{# dbt's own writes them once more, column by column. #}
{% macro spark__persist_docs(relation, model, for_relation, for_columns) %}
{% endmacro %}


{# A small table is overwritten as a whole. If that is killed, the next run finds other rows in it. Of Iceberg,
   `insert overwrite` would leave a table as it is where there are no new rows. #}
{% macro spark__insert_content(relation, sql) %}
    {%- set columns = contract_columns() -%}
    {{ 'insert into ' ~ relation ~ ' replace where true' if is_iceberg() else 'insert overwrite ' ~ relation }}
    select {{ columns }} from (
        {{ sql }}
    ) as model
{% endmacro %}

{# Compared where it is computed: a table of its own for what the model gives would be three statements more. #}
{% macro spark__replace_content(relation, sql) %}
    {%- set columns = contract_columns() -%}
    {% do get_assert_columns_equivalent(sql) %}
    {%- set differs = run_query(
        'select 1 from ('
        ~ 'select ' ~ columns ~ ', 1 as more from (' ~ sql ~ ') as model'
        ~ ' union all select ' ~ columns ~ ', -1 as more from ' ~ relation
        ~ ') group by ' ~ columns ~ ' having sum(more) <> 0 limit 1'
    ).rows | length > 0 -%}
    {%- if differs -%}
        {% do change_records("table_name = '" ~ recorded_name(relation) ~ "'", {'tested_at': 'null', 'built_at': 'current_timestamp()'}) %}
        {% call statement('replace') -%}
            {{ insert_content(relation, sql) }}
        {%- endcall %}
    {%- endif -%}
    {{ return('REPLACED' if differs else 'UNCHANGED') }}
{% endmacro %}
