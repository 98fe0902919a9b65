{#
  What by_month and by_content share: a table that is made with a fingerprint, and how a run of dbt
  begins with it and ends with it. Each step is one transaction, as engines.sql says.
#}


{# The first steps of a materialization: wait for other runs of dbt that build this table, and run
   the model's hooks. Returns the relation that is there; none where there is none. #}
{% macro begin_table(relation) %}
    {% do wait_for_turn(relation) %}
    {%- set existing = load_cached_relation(relation) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ return(existing) }}
{% endmacro %}


{# The last steps: what the engine is to be told, grants, descriptions, hooks. Returns what a
   materialization returns. #}
{% macro finish_table(relation, statement_after) %}
    {# the last write closed its transaction, or there was none: hooks and grants want one #}
    {% do begin_transaction() %}
    {% call statement('finish', auto_begin=True) -%}
        {{ statement_after }}
    {%- endcall %}
    {# dbt asks should_revoke() whether the table is a new one, which holds no grant to be taken back.
       Ours stays, with all that was granted since #}
    {% do apply_grants(relation, config.get('grants'), should_revoke=true) %}
    {% do persist_changed_docs(relation) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {% do end_turn(relation) %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [relation]}) }}
{% endmacro %}


{# Whether the table is there, was begun with this fingerprint, and is not to be made anew. #}
{% macro has_fingerprint(relation, fingerprint) %}
    {{ return(adapter.dispatch('has_fingerprint')(relation, fingerprint)) }}
{% endmacro %}

{% macro default__has_fingerprint(relation, fingerprint) %}
    {%- set existing = load_cached_relation(relation) -%}
    {%- if existing is none or not existing.is_table or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set found = run_query(
        "select 1 from " ~ month_builds() ~ " where source_month is null and table_name = '"
        ~ recorded_name(relation) ~ "' and definition = '" ~ fingerprint ~ "'"
    ) -%}
    {{ return(found.rows | length > 0) }}
{% endmacro %}


{# Where this model is rebuilt: always the same name, so that a rebuild that was killed goes on where
   it was. #}
{% macro rebuilt_beside() %}
    {{ return(api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '__rebuild', type='table'
    )) }}
{% endmacro %}


{# Make the empty table, with the contract's columns and constraints, and forget what it was. #}
{% macro start_table(relation, sql, fingerprint) %}
    {{ return(adapter.dispatch('start_table')(relation, sql, fingerprint)) }}
{% endmacro %}

{% macro default__start_table(relation, sql, fingerprint) %}
    {% do begin_transaction() %}
    {% do adapter.drop_relation(relation) %}
    {% do create_empty_table(relation, sql) %}
    {% do create_indexes(relation) %}
    {% do forget_builds(relation) %}
    {% call statement('insert_fingerprint') -%}
        insert into {{ month_builds() }} (table_name, definition)
        values ('{{ recorded_name(relation) }}', '{{ fingerprint }}')
    {%- endcall %}
    {% do adapter.commit() %}
{% endmacro %}


{# Drop the table and forget what it was. #}
{% macro give_up_table(relation) %}
    {{ return(adapter.dispatch('give_up_table')(relation)) }}
{% endmacro %}

{% macro default__give_up_table(relation) %}
    {% do begin_transaction() %}
    {% do adapter.drop_relation(relation) %}
    {% do forget_builds(relation) %}
    {% do adapter.commit() %}
{% endmacro %}


{# Put the table that was built beside the old one in its place, with its build records. #}
{% macro promote_table(work, target_relation, existing) %}
    {{ return(adapter.dispatch('promote_table')(work, target_relation, existing)) }}
{% endmacro %}

{% macro default__promote_table(work, target_relation, existing) %}
    {% do begin_transaction() %}
    {% do lock_out_readers(existing) %}
    {% do forget_builds(target_relation) %}
    {% call statement('move_builds') -%}
        update {{ month_builds() }}
        set table_name = '{{ recorded_name(target_relation) }}',
            built_at = {{ clock_time() }}
        where table_name = '{{ work.schema }}.{{ work.identifier }}'
    {%- endcall %}
    {% do adapter.drop_relation(existing) %}
    {% do adapter.rename_relation(work, target_relation) %}
    {% do adapter.commit() %}
{% endmacro %}


{# Delete all records of a table; part of a transaction. #}
{% macro forget_builds(relation) %}
    {% call statement('forget_builds', auto_begin=True) -%}
        delete from {{ month_builds() }}
        where table_name = '{{ recorded_name(relation) }}'
    {%- endcall %}
{% endmacro %}


{# Write the descriptions of a table or view where they are not those that were written last. They
   are no part of the fingerprint: other words make no row stale. #}
{% macro persist_changed_docs(relation) %}
    {{ return(adapter.dispatch('persist_changed_docs')(relation)) }}
{% endmacro %}

{% macro default__persist_changed_docs(relation) %}
    {%- set of_this_table -%}
        table_name = '{{ recorded_name(relation) }}' and source_month is null
    {%- endset -%}
    {%- set found = run_query('select build_key from ' ~ month_builds() ~ ' where ' ~ of_this_table) -%}
    {%- if found.columns[0].values() | list != [docs_key()] -%}
        {% do persist_docs(relation, model) %}
        {% call statement('record_docs') -%}
            update {{ month_builds() }} set build_key = '{{ docs_key() }}' where {{ of_this_table }}
        {%- endcall %}
    {%- endif -%}
{% endmacro %}


{# md5 of the descriptions of the model and its columns. #}
{% macro docs_key() %}
    {%- set descriptions = [model.description] -%}
    {%- for column in model.columns.values() -%}
        {%- do descriptions.append(column.name ~ ' ' ~ column.description) -%}
    {%- endfor -%}
    {{ return(local_md5(descriptions | join('\n'))) }}
{% endmacro %}
