{#
  A table that is replaced month by month: materialized='by_month'.

  The model's SQL is written for all services and months at once, as a plain select. Each run
  replaces exactly the months whose inputs or definition changed, one transaction a month, together
  with a row in intermediate.month_builds that says what the month was built from. So a run costs
  what is new, memory is bounded by one month, a run that is killed goes on where it was, and months
  that arrive late, again or out of order are all the same case. The engine prunes the other months:
  the service and the month are literals in the read views.

  dbt's own strategies do not fit: microbatch chooses its batches by the clock, and delete+insert
  writes everything twice and builds all months in one statement.
  https://docs.getdbt.com/docs/build/incremental-microbatch

  A month is a service and a source_month; the model has both columns.

  Config:
    built_from    the by_month model whose builds this one follows; without it, the months are
                  those of the current versions in raw.files
    partitioned   where the engine has partitions, one for each month (partitions.sql): for tables
                  that grow beyond memory

  A change of the model, or of a view that it reads, makes every month stale. The new table is then
  built beside the old one, which readers keep until it is whole.
#}
{% materialization by_month, default, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set beside = rebuilt_beside() -%}
    {%- set definition = month_definition(sql) -%}
    {%- set grant_config = config.get('grants') -%}

    {% do wait_for_turn(target_relation) %}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}

    {%- set whole = existing is not none and existing.is_table and not should_full_refresh()
        and month_table_is_current(this, definition) -%}
    {%- set work = target_relation if whole or existing is none else beside -%}
    {%- if not whole and should_full_refresh() -%}
        {% do forget_months(work) %}
    {%- endif -%}
    {%- if not whole and not month_table_is_current(work, definition) -%}
        {% do start_month_table(work, sql, definition) %}
    {%- endif -%}

    {%- if whole and load_cached_relation(beside) is not none -%}
        {# a rebuild was given up: the model is again what the table was built from #}
        {% do adapter.drop_relation(beside) %}
        {% do forget_months(beside) %}
    {%- endif -%}

    {%- set months = stale_months(work, definition) -%}
    {%- set counted = namespace(rows=0) -%}
    {%- set columns = adapter.get_columns_in_relation(work) | map(attribute='quoted') | join(', ')
        if months -%}
    {%- for month in months -%}
        {%- set rows = replace_month(work, columns, sql, definition, month) -%}
        {%- set counted.rows = counted.rows + (rows or 0) | int -%}
    {%- endfor -%}

    {%- if work != target_relation -%}
        {% do swap_month_table(work, target_relation, existing) %}
    {%- endif -%}

    {%- do store_raw_result(
        name='main',
        message=months | length ~ ' months, ' ~ counted.rows ~ ' rows',
        code='REPLACED' if months | selectattr('is_held') | list else 'BUILT',
        rows_affected=counted.rows
    ) -%}

    {# the last month closed its transaction, or there was none: hooks and grants want one #}
    {% do begin_transaction() %}
    {% call statement('finish', auto_begin=True) -%}
        {{ after_months(target_relation, months) }}
    {%- endcall %}
    {# a table that stays keeps what others were granted since: dbt's own question for a table that is
       made anew would leave it to them #}
    {% do apply_grants(target_relation, grant_config, should_revoke=true) %}
    {% do persist_changed_docs(target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {% do end_turn(target_relation) %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# Where this model is rebuilt: always the same name, so that a rebuild that was killed goes on where
   it was. #}
{% macro rebuilt_beside() %}
    {{ return(api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '__rebuild', type='table'
    )) }}
{% endmacro %}


{# Make the empty table, with the contract's columns and constraints, and forget its months. #}
{% macro start_month_table(relation, sql, definition) %}
    {% do begin_transaction() %}
    {% do adapter.drop_relation(relation) %}
    {% do create_month_table(relation, sql) %}
    {% do create_indexes(relation) %}
    {% call statement('forget') -%}
        delete from {{ month_builds() }} where table_name = '{{ relation.schema }}.{{ relation.identifier }}'
    {%- endcall %}
    {% call statement('begin_table') -%}
        insert into {{ month_builds() }} (table_name, definition)
        values ('{{ relation.schema }}.{{ relation.identifier }}', '{{ definition }}')
    {%- endcall %}
    {% do adapter.commit() %}
{% endmacro %}


{# Replace one month and its evidence in one transaction; returns the rows that it now has. #}
{% macro replace_month(relation, columns, sql, definition, month) %}
    {%- set table_name = relation.schema ~ '.' ~ relation.identifier -%}
    {%- set is_this_month -%}
        service = '{{ month.service }}' and source_month = date '{{ month.source_month }}'
    {%- endset -%}

    {% do begin_transaction() %}
    {% do write_month(relation, columns, sql, month, is_this_month) %}
    {% call statement('delete_evidence') -%}
        delete from {{ month_builds() }}
        where table_name = '{{ table_name }}'
            and service = '{{ month.service }}' and source_month = date '{{ month.source_month }}'
    {%- endcall %}
    {% if month.build_key is not none %}
        {% call statement('insert_evidence') -%}
            insert into {{ month_builds() }} (
                table_name, definition, service, source_month, file_key, build_key, row_count, built_at
            )
            select
                '{{ table_name }}', '{{ definition }}', '{{ month.service }}',
                date '{{ month.source_month }}', {{ month.file_key }}, '{{ month.build_key }}',
                count(*), {{ clock_time() }}
            from {{ relation }}
            where {{ is_this_month }}
        {%- endcall %}
    {% endif %}
    {% call statement('count_month', fetch_result=True) -%}
        select sum(row_count) from {{ month_builds() }}
        where table_name = '{{ table_name }}'
            and service = '{{ month.service }}' and source_month = date '{{ month.source_month }}'
    {%- endcall %}
    {% do adapter.commit() %}
    {{ return(load_result('count_month').table.columns[0].values()[0]) }}
{% endmacro %}


{# Persist the descriptions where they are not what they were when that was done last. #}
{% macro persist_changed_docs(relation) %}
    {%- set descriptions = [model.description] -%}
    {%- for column in model.columns.values() -%}
        {%- do descriptions.append(column.name ~ ' ' ~ column.description) -%}
    {%- endfor -%}
    {%- set docs_key = local_md5(descriptions | join('\n')) -%}
    {%- set of_this_table -%}
        table_name = '{{ relation.schema }}.{{ relation.identifier }}' and source_month is null
    {%- endset -%}
    {%- set found = run_query('select build_key from ' ~ month_builds() ~ ' where ' ~ of_this_table) -%}
    {%- if found.columns[0].values() | list != [docs_key] -%}
        {% do persist_docs(relation, model) %}
        {% call statement('docs_evidence') -%}
            update {{ month_builds() }} set build_key = '{{ docs_key }}' where {{ of_this_table }}
        {%- endcall %}
    {%- endif -%}
{% endmacro %}


{# Put the table that was built beside the old one in its place, with its evidence. #}
{% macro swap_month_table(work, target_relation, existing) %}
    {% do begin_transaction() %}
    {% do lock_out_readers(existing) %}
    {% call statement('swap_evidence', auto_begin=True) -%}
        delete from {{ month_builds() }}
        where table_name = '{{ target_relation.schema }}.{{ target_relation.identifier }}'
    {%- endcall %}
    {% call statement('move_evidence') -%}
        update {{ month_builds() }}
        set table_name = '{{ target_relation.schema }}.{{ target_relation.identifier }}',
            built_at = {{ clock_time() }}
        where table_name = '{{ work.schema }}.{{ work.identifier }}'
    {%- endcall %}
    {% do adapter.drop_relation(existing) %}
    {% do adapter.rename_relation(work, target_relation) %}
    {% do adapter.commit() %}
{% endmacro %}
