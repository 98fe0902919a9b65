{#
  The build records on Spark, where tables of Parquet files have no update, no delete and no transaction.

  Each change writes all records of a table as a new version, in a partition of its own, which no
  earlier one is part of. The view intermediate.month_builds shows the newest version of each table. So
  a change is there as a whole or not at all, and nobody reads a file that is being replaced. Earlier
  versions are dropped when the next run begins.

  A record with the definition '' says that there are none, and 'promoting' that a table is being put
  in the place of another (finish_promotions).
#}
{% macro record_versions() -%}
    {{ return(schema_named('intermediate') ~ '.month_build_versions') }}
{%- endmacro %}

{% macro dbt_invocations() -%}
    {{ return(schema_named('intermediate') ~ '.dbt_invocations') }}
{%- endmacro %}

{% macro record_columns() -%}
    definition, service, source_month, file_key, build_key, row_count, built_at, tested_at, tests
{%- endmacro %}

{% macro spark__create_month_builds() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') %}
        {% do run_query(
            'create table if not exists ' ~ record_versions() ~ ' (definition string, service string,'
            ~ ' source_month date, file_key bigint, build_key string, row_count bigint, built_at timestamp_ltz,'
            ~ ' tested_at timestamp_ltz, tests string, table_name string, version bigint) using parquet'
            ~ ' partitioned by (table_name, version)'
        ) %}
        {%- set has_tests = 'tests' in run_query('describe ' ~ record_versions()).columns[0].values() -%}
        {%- if not has_tests -%}
            {% do run_query('alter table ' ~ record_versions() ~ ' add columns (tests string)') %}
        {%- endif -%}
        {% do run_query(
            'create or replace view ' ~ month_builds() ~ ' as select table_name, ' ~ record_columns()
            ~ ' from ' ~ newest_records() ~ " where definition not in ('', 'promoting')"
        ) %}
        {% do run_query(
            'create table if not exists ' ~ dbt_invocations() ~ ' (command string, started_at string,'
            ~ ' completed_at timestamp_ltz, succeeded boolean, inputs string, invocation_id string)'
            ~ ' using parquet partitioned by (invocation_id)'
        ) %}
        {% do drop_earlier_versions() %}
        {% do finish_promotions() %}
        {%- if not has_tests -%}
            {# an earlier release had this md5 in the column service #}
            {% do change_records('true', {
                'tests': 'if(source_month is null, service, null)',
                'service': 'if(source_month is null, null, service)'
            }) %}
        {%- endif -%}
        {%- for row in run_query(
            'select distinct table_name from ' ~ month_builds() ~ ' where ' ~ is_of_no_model()
        ).rows -%}
            {% do write_record(row[0], '') %}
        {%- endfor -%}
        {%- if run_query(
            'select succeeded from ' ~ dbt_invocations() ~ ' order by completed_at desc limit 1'
        ).columns[0].values() | list == [false] -%}
            {% do drop_leftovers() %}
            {% do drop_unrecorded_months() %}
        {%- endif -%}
        {% do drop_old_invocations() %}
        {% do spark__record_invocation_as(false) %}
        {% do build_anew_on_spark() %}
    {% endif %}
{% endmacro %}


{# The rows of months without a record that raw.files has no more: a run was killed while it replaced them, and
   nothing else tells that they are there. #}
{% macro drop_unrecorded_months() %}
    {%- set kept = run_query(
        "select dataset || '/' || month from " ~ schema_named('raw') ~ '.files where is_current and month is not null'
        ~ " union all select table_name || '/' || service || '/' || source_month from " ~ month_builds()
        ~ ' where source_month is not null'
    ).columns[0].values() | list -%}
    {%- for node in graph.nodes.values() if node.config.materialized == 'by_month' -%}
        {%- set relation = load_cached_relation(api.Relation.create(schema=node.schema, identifier=node.alias)) -%}
        {%- if relation is not none and has_format_asked_for(relation) -%}
            {%- set gone = [] -%}
            {%- for service, month in held_months(relation) -%}
                {%- set name = service ~ '/' ~ month -%}
                {%- if name not in kept and recorded_name(relation) ~ '/' ~ name not in kept -%}
                    {%- do gone.append({'service': service, 'source_month': month}) -%}
                {%- endif -%}
            {%- endfor -%}
            {%- if gone -%}
                {% do drop_months(relation, gone) %}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{# Each run leaves a partition, and each of these is a file that all who ask for the last run open. #}
{% macro drop_old_invocations(most=300, kept=200) %}
    {%- if run_query('show partitions ' ~ dbt_invocations()).rows | length > most -%}
        {%- set old = run_query(
            'select invocation_id from ' ~ dbt_invocations() ~ ' order by completed_at desc offset ' ~ kept
        ).columns[0].values() -%}
        {% do run_query(
            'alter table ' ~ dbt_invocations() ~ " drop if exists partition (invocation_id = '"
            ~ old | join("'), partition (invocation_id = '") ~ "')"
        ) %}
    {%- endif -%}
{% endmacro %}


{# The newest version of the records of each table. #}
{% macro newest_records() -%}
    (
        select *
        from (
            select *, max(version) over (partition by table_name) as newest
            from {{ record_versions() }}
        ) as versions
        where version = newest
    ) as records
{%- endmacro %}

{% macro drop_earlier_versions() %}
    {%- set newest, earlier = {}, [] -%}
    {%- for row in run_query('show partitions ' ~ record_versions()).rows -%}
        {%- set table_name, version = row[0].split('/')[0].split('=')[1], row[0].split('=')[-1] | int -%}
        {%- if table_name in newest -%}
            {%- do earlier.append((table_name, [version, newest[table_name]] | min)) -%}
        {%- endif -%}
        {%- do newest.update({table_name: [version, newest.get(table_name, 0)] | max}) -%}
    {%- endfor -%}
    {%- if earlier -%}
        {%- set partitions = [] -%}
        {%- for table_name, version in earlier -%}
            {%- do partitions.append("partition (table_name = '" ~ table_name ~ "', version = " ~ version ~ ")") -%}
        {%- endfor -%}
        {% do run_query(
            'alter table ' ~ record_versions() ~ ' drop if exists ' ~ partitions | join(', ')
        ) %}
    {%- endif -%}
{% endmacro %}


{# The number of a version: that of this run's turn, and the milliseconds by the server's clock, so that no
   version of a later run is before it. Fails where the turn was taken away. #}
{% macro next_version() -%}
    (select turn from {{ holder(invocation_id) }}) * 10000000000000l + unix_millis(current_timestamp())
{%- endmacro %}

{# Write the records of a table anew: all that the select `rows` gives, with record_columns(). Spark looks
   through the partitions that the statement may meet, so it names the table. #}
{% macro rewrite_records(table_name, rows) %}
    {% call statement('rewrite_records') -%}
        insert overwrite {{ record_versions() }} partition (table_name = '{{ table_name }}', version)
        select /*+ coalesce(1) */ rows.*, {{ next_version() }}
        from (
            {{ rows }}
        ) as rows
    {%- endcall %}
{% endmacro %}

{# Write the record of a table as a whole, and none of months. #}
{% macro write_record(table_name, definition) %}
    {% call statement('write_record') -%}
        insert overwrite {{ record_versions() }} partition (table_name = '{{ table_name }}', version)
        select '{{ definition }}', null, null, null, null, null, null, null, null, {{ next_version() }}
    {%- endcall %}
{% endmacro %}

{% macro records_of(table_name) -%}
    select {{ record_columns() }} from {{ month_builds() }} where table_name = '{{ table_name }}'
{%- endmacro %}


{# The fingerprint of a view is a property of the view (views.sql): a record would cost as much as the view.
   So it is of a seed, but there it is written here. #}
{% macro spark__write_fingerprint(table_name, fingerprint) %}
    {%- if model.resource_type == 'seed' and loaded_checksum(this) != fingerprint -%}
        alter table {{ this }} set tblproperties ('medallion.fingerprint' = '{{ fingerprint }}')
    {%- endif -%}
{% endmacro %}

{# All properties are asked for: for one that is not there, Spark answers with a sentence. #}
{% macro spark__loaded_checksum(seed) %}
    {%- for name, value in run_query('show tblproperties ' ~ seed).rows if name == 'medallion.fingerprint' -%}
        {{ return(value) }}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}

{% macro spark__recorded_fingerprints(views) %}
    {%- set fingerprints = [] -%}
    {# the list has the ids of sources too, which are no views of ours #}
    {%- for view in views | sort if not view.startswith('source.') -%}
        {%- do fingerprints.append(property_of(view, 'fingerprint')) -%}
    {%- endfor -%}
    {{ return(fingerprints) }}
{% endmacro %}


{% macro build_anew_on_spark() %}
    {%- set scope = env_var('MEDALLION_BUILD_ANEW', '') -%}
    {%- if scope and flags.WHICH in ('run', 'build') -%}
        {%- set scope = fromjson(scope) -%}
        {%- set conditions = ['source_month is not null'] -%}
        {%- if scope.datasets -%}
            {%- do conditions.append("service in ('" ~ scope.datasets | join("', '") ~ "')") -%}
        {%- endif -%}
        {%- if scope.from -%}{%- do conditions.append("source_month >= date '" ~ scope.from ~ "'") -%}{%- endif -%}
        {%- if scope.to -%}{%- do conditions.append("source_month <= date '" ~ scope.to ~ "'") -%}{%- endif -%}
        {% do change_records('true', {'build_key': "if(" ~ conditions | join(' and ') ~ ", '', build_key)"}) %}
    {%- endif -%}
{% endmacro %}


{# Change columns of the records of all tables of a condition, in one statement. #}
{% macro change_records(condition, changes) %}
    {% call statement('change_records') -%}
        insert overwrite {{ record_versions() }} partition (table_name, version)
        select /*+ coalesce(1) */
            {% for column in record_columns().split(', ') -%}
                {{ changes.get(column | trim, column) }},
            {% endfor -%}
            table_name, {{ next_version() }}
        from {{ newest_records() }}
        where {{ condition }}
    {%- endcall %}
{% endmacro %}


{% macro spark__write_tests(changed) %}
    {%- if changed -%}
        {%- set untested = changed | selectattr('is_untested') | map(attribute='table_name') | join("', '") -%}
        {% do change_records(
            "table_name in ('" ~ changed | map(attribute='table_name') | join("', '") ~ "')",
            {
                'tested_at': "if(table_name in ('" ~ untested ~ "'), null, tested_at)",
                'tests': with_tests_keys(changed)
            }
        ) %}
    {%- endif -%}
{% endmacro %}

{# The column `tests`, with the md5 of the tests in the records of these tables as a whole. #}
{% macro with_tests_keys(tables) -%}
    case
        {%- for table in tables %}
        when table_name = '{{ table.table_name }}' and source_month is null then '{{ table.tests_key }}'
        {%- endfor %}
        else tests
    end
{%- endmacro %}


{% macro spark__write_judged(judged) %}
    {%- if judged -%}
        {%- set cases, names = [], [] -%}
        {%- set passed = judged | selectattr('passed') | list -%}
        {%- for table in judged -%}
            {%- do names.append("'" ~ table.table_name ~ "'") -%}
            {%- do cases.append(
                "when table_name = '" ~ table.table_name ~ "'"
                ~ (' and source_month is null' if table.passed or flags.WHICH != 'test' else '')
                ~ (' then current_timestamp()' if table.passed else ' then null')
            ) -%}
            {%- if table.seconds is not none -%}
                {%- do cases.append(
                    "when table_name = '" ~ table.table_name ~ "' and tested_at is null"
                    ~ " and built_at < current_timestamp() - interval '" ~ table.seconds ~ " seconds'"
                    ~ ' then current_timestamp()'
                ) -%}
            {%- endif -%}
        {%- endfor -%}
        {% do change_records(
            'table_name in (' ~ names | join(', ') ~ ')',
            {
                'tested_at': 'case ' ~ cases | join(' ') ~ ' else tested_at end',
                'tests': with_tests_keys(passed) if passed else 'tests'
            }
        ) %}
    {%- endif -%}
{% endmacro %}


{% macro spark__record_invocation_as(succeeded) %}
    {% if flags.WHICH in ('run', 'build', 'test') %}
        {% call statement('record_invocation') -%}
            insert overwrite {{ dbt_invocations() }} partition (invocation_id = '{{ invocation_id }}')
            select '{{ flags.WHICH }}', '{{ run_started_at.isoformat() }}', current_timestamp(),
                {{ 'true' if succeeded else 'false' }}, '{{ env_var("MEDALLION_BUILD_INPUTS", "") }}'
        {%- endcall %}
    {% endif %}
{% endmacro %}
