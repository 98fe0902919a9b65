{#
  Locks that readers keep us from, on PostgreSQL.

  A statement that waits for a reader makes all later readers wait behind it. So each attempt waits for
  a while only, others are let through, and it is tried again. In the end the message names the reader.
  `lock_timeout`, where the server or PGOPTIONS sets one, is how long an attempt waits.
#}
{% macro try_patiently(statement, relation, attempts=6) -%}
    do $patient$
    declare
        holders text;
    begin
        if current_setting('lock_timeout') = '0' then
            set local lock_timeout = '20s';
        end if;
        for attempt in 1..{{ attempts }} loop
            begin
                {{ statement }};
                return;
            exception when lock_not_available then
                perform pg_sleep(0.5);
            end;
        end loop;
        select string_agg(format(
            'pid %s (%s, %s%s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no application name'),
            ', since ' || date_trunc('second', a.xact_start)
        ), ', ')
        into holders
        from pg_stat_activity as a
        where a.pid <> pg_backend_pid() and a.pid in (
            select l.pid from pg_locks as l
            where l.granted and l.relation = to_regclass('{{ relation.include(database=false) }}')
                and l.database = (select d.oid from pg_database as d where d.datname = current_database())
        );
        raise exception using
            errcode = 'lock_not_available',
            message = format(
                '%s is held by %s. Run this again when they have ended, or end them with: select pg_terminate_backend(pid)',
                '{{ relation.include(database=false) }}', coalesce(holders, 'nobody any more')
            );
    end $patient$
{%- endmacro %}


{# Nobody reads this table until the end of the transaction. #}
{% macro lock_out_readers(relation) %}
    {% if target.type == 'postgres' and relation.is_table %}
        {% call statement('lock_out_readers', auto_begin=True) -%}
            {{ try_patiently('lock table ' ~ relation ~ ' in access exclusive mode', relation) }}
        {%- endcall %}
    {% endif %}
{% endmacro %}


{# A seed is emptied before it is filled; `truncate` would wait for its readers. #}
{% macro postgres__truncate_relation(relation) -%}
    {% call statement('truncate_relation') -%}
        delete from {{ relation.render() }}
    {%- endcall %}
{%- endmacro %}


{#
  dbt's `view` for PostgreSQL, but that a view which is there as it would be made now is left alone: to
  replace it needs every reader to be gone.
#}
{% materialization view, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {% do begin_transaction() %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if not should_full_refresh() and view_is_current(target_relation) -%}
        {%- do store_raw_result(name='main', message='UNCHANGED', code='UNCHANGED', rows_affected=0) -%}
        {% do persist_changed_docs(target_relation) %}
    {%- else -%}
        {% if existing is not none %}
            {% call statement('drop_view', auto_begin=True) -%}
                {{ try_patiently('drop ' ~ existing.type ~ ' if exists ' ~ existing ~ ' cascade', existing) }}
            {%- endcall %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main', auto_begin=True) -%}
            {{ get_create_view_as_sql(target_relation, sql) }}
        {%- endcall %}
        {% do apply_grants(target_relation, config.get('grants'), should_revoke=existing is not none) %}
        {% do persist_docs(target_relation, model) %}
    {%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# Whether the view is there now, and was made from the SQL that it would be made from. What it reads
   may have been made anew, and then it went with that. #}
{% macro view_is_current(relation) %}
    {%- set found = run_query(
        "select 1 from " ~ month_builds() ~ " where source_month is null and table_name = '"
        ~ recorded_name(relation) ~ "' and definition = '" ~ local_md5(model.compiled_code)
        ~ "' and exists (select 1 from pg_class where relkind = 'v' and oid = to_regclass('"
        ~ relation.include(database=false) ~ "'))"
    ) -%}
    {{ return(found.rows | length > 0) }}
{% endmacro %}
