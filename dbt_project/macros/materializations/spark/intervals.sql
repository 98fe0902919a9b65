{#
  by_month on Spark, on tables that are partitioned by service and source_month. Many months are built by
  one statement, so that a cluster has enough to do, but it reads no more rows than the variable
  spark_rows_per_statement says: a statement that is killed is repeated as a whole.

  For each statement:
    1. look whether the lake's files have the rows that raw.files tells of
    2. drop the build records of the months that the table holds: they are stale from here on
    3. replace the rows of the months
    4. write the build records, with the rows counted in the table
  Whatever is killed, a month without a record is built again.
#}
{% macro spark__replace_intervals(relation, sql, fingerprint, intervals) %}
    {%- set counted = namespace(rows=0) -%}
    {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='quoted') | join(', ') -%}
    {%- for statement_intervals in in_statements(intervals) -%}
        {%- set counted.rows = counted.rows + replace_together(
            relation, columns, sql, fingerprint, statement_intervals
        ) -%}
    {%- endfor -%}
    {{ return(counted.rows) }}
{% endmacro %}


{# The intervals, those together that one statement builds. #}
{% macro in_statements(intervals) %}
    {%- set most_rows = var('spark_rows_per_statement') | int -%}
    {%- set statements, current = [], namespace(intervals=[], rows=0) -%}
    {%- for interval in intervals -%}
        {%- set rows = (interval.input_rows or 0) | int -%}
        {%- if current.intervals and current.rows + rows > most_rows -%}
            {%- do statements.append(current.intervals) -%}
            {%- set current.intervals, current.rows = [], 0 -%}
        {%- endif -%}
        {%- do current.intervals.append(interval) -%}
        {%- set current.rows = current.rows + rows -%}
    {%- endfor -%}
    {%- if current.intervals -%}
        {%- do statements.append(current.intervals) -%}
    {%- endif -%}
    {{ return(statements) }}
{% endmacro %}


{# Whether a row is of one of these intervals. Each column is also named by itself: of what is joined by it,
   Spark then reads these months only. #}
{% macro is_of(intervals) -%}
    {%- set services = intervals | map(attribute='service') | unique | list -%}
    (
        service in ('{{ services | join("', '") }}')
        and source_month in ({{ months_in(intervals) }})
        {%- if services | length > 1 %}
        and (
        {%- for service, of_service in intervals | groupby('service') %}
            {{- ' or ' if not loop.first -}}
            (service = '{{ service }}' and source_month in ({{ months_in(of_service) }}))
        {%- endfor -%}
        )
        {%- endif %}
    )
{%- endmacro %}

{% macro months_in(intervals) -%}
    date '{{ intervals | map(attribute='source_month') | unique | join("', date '") }}'
{%- endmacro %}


{% macro replace_together(relation, columns, sql, fingerprint, intervals) %}
    {%- set table_name = recorded_name(relation) -%}
    {%- set wanted = intervals | rejectattr('build_key', 'none') | list -%}
    {% do give_sign_of_life() %}
    {% if wanted and not config.get('built_from') %}
        {% do refuse_missing_files(wanted) %}
    {% endif %}
    {% if intervals | selectattr('is_held') | list %}
        {% do rewrite_records(
            table_name, records_of(table_name) ~ ' and (source_month is null or not ' ~ is_of(intervals) ~ ')'
        ) %}
    {% endif %}
    {% if is_iceberg() %}
        {% do replace_months(relation, columns, sql, intervals, wanted) %}
    {% else %}
        {% do overwrite_partitions(relation, columns, sql, intervals, wanted) %}
    {% endif %}
    {% if wanted %}
        {%- set counted = {} -%}
        {%- for row in run_query(
            'select service, cast(source_month as string), count(*) from ' ~ relation ~ ' where ' ~ is_of(wanted)
            ~ ' group by service, source_month'
        ).rows -%}
            {%- do counted.update({row[0] ~ row[1]: row[2] | int}) -%}
        {%- endfor -%}
        {% do rewrite_records(table_name, records_of(table_name) ~ ' union all ' ~ records_of_built(
            fingerprint, wanted, counted
        )) %}
        {{ return(counted.values() | sum) }}
    {% endif %}
    {{ return(0) }}
{% endmacro %}


{# Spark reads a file that is gone as no rows, where it is one of several: a month would be replaced by none. #}
{% macro refuse_missing_files(intervals) %}
    {%- set counts, expected, wrong = [], {}, [] -%}
    {%- for interval in intervals if interval.input_rows is not none -%}
        {%- do expected.update({interval.service ~ ' ' ~ interval.source_month[:7]: interval.input_rows | int}) -%}
    {%- endfor -%}
    {%- for dataset, read_view in read_views() -%}
        {%- set of_dataset = intervals | selectattr('service', 'eq', dataset) | list -%}
        {%- if of_dataset -%}
            {%- do counts.append(
                "select '" ~ dataset ~ " ' || left(cast(source_month as string), 7), count(*) from " ~ read_view
                ~ ' where source_month in (' ~ months_in(of_dataset) ~ ') group by source_month'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set found = {} -%}
    {%- for row in run_query(counts | join(' union all ')).rows -%}
        {%- do found.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- for name, rows in expected.items() if found.get(name, 0) != rows -%}
        {%- do wrong.append(name ~ ' (' ~ found.get(name, 0) ~ ' of ' ~ rows ~ ' rows)') -%}
    {%- endfor -%}
    {%- if wrong -%}
        {% do exceptions.raise_compiler_error(
            'Files of the lake are not what raw.files tells of them: ' ~ wrong | join(', ')
            ~ '. Their months stay as they were. Look for them with: medallion verify, which restores them with --restore.'
        ) %}
    {%- endif -%}
{% endmacro %}


{# Iceberg: all the months at once, with those that are gone or came out empty. #}
{% macro replace_months(relation, columns, sql, intervals, wanted) %}
    {% call statement('replace_months') -%}
        {% if wanted %}
        insert into {{ relation }} replace where {{ is_of(intervals) }}
        select {{ columns }} from (
            {{ sql }}
        ) as model
        where {{ is_of(wanted) }}
        {% else %}
        delete from {{ relation }} where {{ is_of(intervals) }}
        {% endif %}
    {%- endcall %}
{% endmacro %}


{# Parquet: each month is replaced when all are computed. Then the partitions of months that are gone or came
   out empty are dropped: an overwrite leaves their old rows. #}
{% macro overwrite_partitions(relation, columns, sql, intervals, wanted) %}
    {%- set there, held = held_months(relation), [] -%}
    {%- for interval in intervals if [interval.service, interval.source_month] in there -%}
        {%- do held.append(interval) -%}
    {%- endfor -%}
    {%- set emptied = intervals | selectattr('build_key', 'none') | list -%}
    {% if wanted %}
        {%- set old_files = [] -%}
        {% if held %}
            {%- do old_files.extend(run_query(
                'select distinct _metadata.file_name from ' ~ relation ~ ' where ' ~ is_of(held)
            ).columns[0].values()) -%}
        {% endif %}
        {% call statement('insert_intervals') -%}
            insert overwrite {{ relation }} partition (service, source_month)
            select /*+ rebalance(service, source_month) */ {{ columns }} from (
                {{ sql }}
            ) as model
            where {{ is_of(wanted) }}
        {%- endcall %}
        {% if old_files %}
            {%- for row in run_query(
                'select distinct service, cast(source_month as string) from ' ~ relation ~ ' where '
                ~ is_of(held) ~ " and _metadata.file_name in ('" ~ old_files | join("', '") ~ "')"
            ).rows -%}
                {%- do emptied.append({'service': row[0], 'source_month': row[1]}) -%}
            {%- endfor -%}
        {% endif %}
    {% endif %}
    {% if emptied %}
        {% do drop_months(relation, emptied) %}
    {% endif %}
{% endmacro %}


{# The service and month of each of a table's months that has rows, or had some. #}
{% macro held_months(relation) %}
    {%- set held = [] -%}
    {%- if is_iceberg() -%}
        {%- do held.extend(run_query(
            'select distinct service, cast(source_month as string) from ' ~ relation
        ).rows) -%}
    {%- else -%}
        {%- for row in run_query('show partitions ' ~ relation).rows -%}
            {%- do held.append(row[0].replace('service=', '').split('/source_month=')) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(held) }}
{% endmacro %}

{# Take these months out of a table. #}
{% macro drop_months(relation, intervals) %}
    {% call statement('drop_months') -%}
        {% if is_iceberg() %}
        delete from {{ relation }} where {{ is_of(intervals) }}
        {% else %}
        alter table {{ relation }} drop if exists
            {%- for interval in intervals %}
            partition (service = '{{ interval.service }}', source_month = date '{{ interval.source_month }}')
            {{- ',' if not loop.last }}
            {%- endfor %}
        {% endif %}
    {%- endcall %}
{% endmacro %}


{% macro records_of_built(fingerprint, intervals, counted) -%}
    select
        '{{ fingerprint }}' as definition, built.service, built.source_month, built.file_key, built.build_key,
        built.row_count, current_timestamp() as built_at, cast(null as timestamp_ltz) as tested_at,
        cast(null as string) as tests
    from values
        {% for interval in intervals -%}
        (
            '{{ interval.service }}', date '{{ interval.source_month }}', {{ interval.file_key }}l,
            '{{ interval.build_key }}', {{ counted.get(interval.service ~ interval.source_month, 0) }}l
        )
        {{- ', ' if not loop.last }}
        {% endfor -%}
    as built (service, source_month, file_key, build_key, row_count)
{%- endmacro %}
