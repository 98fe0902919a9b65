{#
  A table that is replaced month by month: materialized='by_month'.

  The model's SQL is a plain select over all services and months. Each run replaces only what is
  stale. So a run costs what is new, one month is the most that it holds in memory, and a run that
  is killed goes on where it was. A month that arrives late, again or out of order is no special
  case. The engine reads the months that it needs: the read views have service and month as literals.

  dbt's own strategies do not fit: microbatch chooses its batches by the clock, and delete+insert
  writes everything twice and builds all months in one statement.
  https://docs.getdbt.com/docs/build/incremental-microbatch

  The words are those of SQLMesh:
    interval      one service and source_month: the model has both columns. An interval is replaced
                  in one transaction, with its build record, a row of intermediate.month_builds
                  (month_builds.sql)
    fingerprint   md5 of all that the model's rows follow from, but for the data. Where it changes,
                  every interval is stale
    promote       put a table that was built beside the old one in its place. A new fingerprint is
                  built so: readers keep the old table until the new one is whole

  Config:
    built_from       the by_month model whose builds this one follows; without it, the intervals are
                     those of the current versions in raw.files
    datasets         the datasets whose intervals are meant; without it, all of them
    also_built_from  a file that is no month, of which some months are built too: {'dataset': its
                     dataset, 'columns': [...]}, where these are the months whose files have one of
                     the columns, by its name in lower case. With another version of the file they
                     are stale, and no others
    fingerprint_of   'code' where the SQL lists the datasets that are there: the fingerprint is then
                     of the model's file, as a further dataset makes no other interval stale
    partitioned      where the engine has partitions, one for each interval (partitions.sql): for
                     tables that grow beyond memory
#}
{% materialization by_month, default, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set beside = rebuilt_beside() -%}
    {%- set fingerprint = interval_fingerprint(sql) -%}
    {%- set existing = begin_table(target_relation) -%}

    {%- set stays = has_fingerprint(target_relation, fingerprint) -%}
    {%- set work = target_relation if stays or existing is none else beside -%}
    {%- if stays and load_cached_relation(beside) is not none -%}
        {# a rebuild was given up: the model is again what the table was built from #}
        {% do give_up_table(beside) %}
    {%- elif not stays and not has_fingerprint(work, fingerprint) -%}
        {# else it is a rebuild that was killed, and goes on #}
        {% do start_table(work, sql, fingerprint) %}
    {%- endif -%}

    {%- set intervals = stale_intervals(work, fingerprint) -%}
    {%- set replaced_rows = replace_intervals(work, sql, fingerprint, intervals) if intervals else 0 -%}

    {%- if work != target_relation -%}
        {% do promote_table(work, target_relation, existing) %}
    {%- endif -%}

    {%- do store_raw_result(
        name='main',
        message=intervals | length ~ ' months, ' ~ replaced_rows ~ ' rows',
        code='REPLACED' if intervals | selectattr('is_held') | list else 'BUILT',
        rows_affected=replaced_rows
    ) -%}
    {{ return(finish_table(target_relation, after_intervals(target_relation, intervals))) }}
{% endmaterialization %}


{# The intervals that the table does not hold as they would be built now: one row each, with a null
   build_key where the interval is to go. It costs by the number of months, not of rows. #}
{% macro stale_intervals(relation, fingerprint) %}
    {%- set built_from = config.get('built_from') -%}
    {%- set datasets = config.get('datasets') -%}
    {%- set also = config.get('also_built_from') -%}
    {%- set files = api.Relation.create(database=target.database or none, schema=schema_named('raw'), identifier='files') -%}
    {%- set query -%}
        with wanted as (
            select
                service, source_month, file_key, input_rows,
                md5('{{ fingerprint }}' || inputs) as build_key
            from (
                {% if built_from %}
                select service, source_month, file_key, row_count as input_rows, build_key as inputs
                from {{ month_builds() }}
                where table_name = '{{ graph.nodes['model.' ~ project_name ~ '.' ~ built_from].schema.removeprefix(schema_prefix()) }}.{{ built_from }}'
                    and source_month is not null
                {% else %}
                select
                    dataset as service, month as source_month, file_key, row_count as input_rows,
                    {{ version_inputs() }}
                    {%- if also %} || case
                        when {% for column in also.columns -%}
                        lower(cast(columns as {{ sql_type('varchar') }})) like '%{{ column }}%'{{ ' or ' if not loop.last }}
                        {%- endfor %}
                        then coalesce((
                            select ' ' || min({{ version_inputs() }}) from {{ files }}
                            where is_current and dataset = '{{ also.dataset }}'
                        ), '')
                        else ''
                    end
                    {%- endif %} as inputs
                from {{ files }}
                where is_current and month is not null
                    {% if datasets %}and dataset in ('{{ datasets | join("', '") }}'){% endif %}
                {% endif %}
            ) as months
        ),

        held as (
            select service, source_month, build_key
            from {{ month_builds() }}
            where table_name = '{{ recorded_name(relation) }}'
                and source_month is not null
        )

        select
            coalesce(wanted.service, held.service) as service,
            cast(coalesce(wanted.source_month, held.source_month) as varchar(10)) as source_month,
            wanted.file_key,
            wanted.build_key,
            held.build_key is not null as is_held,
            wanted.input_rows
        from wanted
        full outer join held
            on wanted.service = held.service and wanted.source_month = held.source_month
        where wanted.build_key is null or held.build_key is null
            or wanted.build_key <> held.build_key
        order by 2, 1
    {%- endset -%}
    {%- set intervals = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do intervals.append({
            'service': row[0], 'source_month': row[1], 'file_key': row[2], 'build_key': row[3],
            'is_held': row[4], 'input_rows': row[5]
        }) -%}
    {%- endfor -%}
    {{ return(intervals) }}
{% endmacro %}


{# What the rows of a file version follow from: its content, and how raw.files says that it is read. How it
   was read when an earlier release built from it is left out: that release named the content only, and an
   upgrade must not make every month stale. `medallion status` and `audit` compare the same inputs. #}
{% macro version_inputs() -%}
    cast(file_key as varchar(20))
    || case when read_as <> coalesce(read_as_at_upgrade, '') then ' ' || read_as else '' end
{%- endmacro %}


{# Replace the rows and the build records of these intervals; returns the rows that they have now. #}
{% macro replace_intervals(relation, sql, fingerprint, intervals) %}
    {{ return(adapter.dispatch('replace_intervals')(relation, sql, fingerprint, intervals)) }}
{% endmacro %}

{% macro default__replace_intervals(relation, sql, fingerprint, intervals) %}
    {%- set counted = namespace(rows=0) -%}
    {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='quoted') | join(', ') -%}
    {%- for interval in intervals -%}
        {%- set counted.rows = counted.rows
            + replace_interval(relation, columns, sql, fingerprint, interval) | int -%}
    {%- endfor -%}
    {{ return(counted.rows) }}
{% endmacro %}


{# Replace one interval and its build record in one transaction; returns the rows that it now has. #}
{% macro replace_interval(relation, columns, sql, fingerprint, interval) %}
    {%- set is_this_interval -%}
        service = '{{ interval.service }}' and source_month = date '{{ interval.source_month }}'
    {%- endset -%}
    {%- set table_name = recorded_name(relation) -%}
    {%- set is_wanted = interval.build_key is not none -%}

    {% do begin_transaction() %}
    {% do write_interval(relation, columns, sql, interval, is_this_interval) %}
    {% if interval.is_held %}
        {% call statement('delete_build') -%}
            delete from {{ month_builds() }} where table_name = '{{ table_name }}' and {{ is_this_interval }}
        {%- endcall %}
    {% endif %}
    {% if is_wanted %}
        {# the rows are counted in the table, and not taken from what the insert says of itself #}
        {% call statement('insert_build', fetch_result=True) -%}
            insert into {{ month_builds() }} (
                table_name, definition, service, source_month, file_key, build_key, row_count, built_at
            )
            select
                '{{ table_name }}', '{{ fingerprint }}', '{{ interval.service }}',
                date '{{ interval.source_month }}', {{ interval.file_key }},
                '{{ interval.build_key }}', count(*), {{ clock_time() }}
            from {{ relation }}
            where {{ is_this_interval }}
            returning row_count
        {%- endcall %}
    {% endif %}
    {% do adapter.commit() %}
    {{ return(load_result('insert_build').table.columns[0].values()[0] if is_wanted else 0) }}
{% endmacro %}
