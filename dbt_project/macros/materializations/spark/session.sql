{#
  What a run of dbt asks of Spark before it begins, and by what it keeps other runs out.
#}


{% macro spark__begin_run() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') %}
        {# what may refuse the run comes first: a turn that was taken is kept until the run has ended #}
        {% do refuse_empty_builds() %}
        {% do check_session() %}
        {% do run_query('create schema if not exists ' ~ schema_named('intermediate')) %}
        {% do take_turn() %}
    {% endif %}
{% endmacro %}

{% macro spark__end_run() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') %}
        {% do run_query('drop view if exists ' ~ holder(invocation_id)) %}
    {% endif %}
{% endmacro %}


{# The settings that results depend on, as the profile gives them: a proxy or a server may leave them
   out, and dbt-spark would not say so. #}
{% macro check_session() %}
    {%- set in_force = {} -%}
    {%- for key, setting in run_query('set').rows -%}
        {%- do in_force.update({key: setting}) -%}
    {%- endfor -%}
    {%- set wrong = [] -%}
    {%- for key, wanted in {
        'spark.sql.ansi.enabled': 'true',
        'spark.sql.session.timeZone': 'UTC',
        'spark.sql.timestampType': 'TIMESTAMP_NTZ',
        'spark.sql.sources.partitionOverwriteMode': 'DYNAMIC',
        'spark.sql.storeAssignmentPolicy': 'ANSI',
        'spark.sql.legacy.parquet.nanosAsLong': 'false',
        'spark.sql.parquet.datetimeRebaseModeInRead': 'CORRECTED',
        'spark.sql.parquet.int96RebaseModeInRead': 'CORRECTED',
        'spark.sql.files.ignoreCorruptFiles': 'false',
        'spark.sql.files.ignoreMissingFiles': 'false',
        'spark.sql.variable.substitute': 'false',
    }.items() if in_force.get(key, '') | upper != wanted | upper -%}
        {%- do wrong.append(key ~ ' is ' ~ in_force.get(key, 'not set') ~ ', not ' ~ wanted) -%}
    {%- endfor -%}
    {%- if in_force.get('spark.sql.catalogImplementation') == 'in-memory' -%}
        {%- do wrong.append('it has no metastore (spark.sql.catalogImplementation is in-memory, not hive)') -%}
    {%- endif -%}
    {%- if is_iceberg() and 'iceberg' not in in_force.get('spark.sql.catalog.spark_catalog', '') -%}
        {%- do wrong.append(
            'MEDALLION_SPARK_FORMAT is iceberg, but it has no catalog of Iceberg (spark.sql.catalog.spark_catalog is '
            ~ in_force.get('spark.sql.catalog.spark_catalog', 'not set') ~ ')'
        ) -%}
    {%- endif -%}
    {%- if wrong -%}
        {% do exceptions.raise_compiler_error(
            'Spark at ' ~ warehouse_name() ~ ' does not run as the profile asks: ' ~ wrong | join('; ')
            ~ '. Results would differ. Set it on the server, or see docs/spark.md.'
        ) %}
    {%- endif -%}
{% endmacro %}


{#
  One run of dbt at a time. Spark has neither locks nor transactions, but to create a view is atomic in
  every metastore: of two who create the same one, one fails.

    intermediate.dbt_turn_<n>        the n-th turn, and whose it is. Whoever creates the next number
                                     has the turn
    intermediate.dbt_holder_<run>    there while that run is at work, with its last sign of life. All
                                     that is written to the build records reads it, so that a run
                                     whose turn was taken away can record nothing more

  A run that is killed leaves its view. The next run is refused until the last sign of life is as old as
  the variable spark_turn_minutes says: signs are given before each statement that builds months. A run that
  holds the run lock of `medallion` (MEDALLION_RUN_LOCK) need not wait for another that held it: the lock
  was free, so that one is gone.
#}
{% macro take_turn() %}
    {%- set minutes = var('spark_turn_minutes') | int -%}
    {%- set run_lock = 'true' if env_var('MEDALLION_RUN_LOCK', '') else 'false' -%}
    {%- set turns, holders = [0], [] -%}
    {%- for name in relations_in(schema_named('intermediate'), 'dbt_turn_*|dbt_holder_*') -%}
        {%- if 'dbt_turn_' in name -%}
            {%- do turns.append(name.split('_')[-1] | int) -%}
        {%- else -%}
            {%- do holders.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set last = turns | max -%}
    {%- if last > 0 and holders -%}
        {%- set before = run_query('select * from ' ~ turn(last)).rows[0] -%}
        {%- if holder(before[0]) in holders -%}
            {%- set sign = run_query(
                "select cast(alive_at as string), alive_at > current_timestamp() - interval '" ~ minutes
                ~ "' minute, cast(alive_at + interval '" ~ minutes ~ "' minute as string) from " ~ holder(before[0])
            ).rows[0] -%}
            {%- if sign[1] and not (before[1] and run_lock == 'true') -%}
                {% do exceptions.raise_compiler_error(
                    'Another dbt builds in Spark at ' ~ warehouse_name() ~ ' (invocation ' ~ before[0]
                    ~ ', last sign of life ' ~ sign[0] ~ ' UTC). Wait until it ends. If it was killed, run this'
                    ~ ' again after ' ~ sign[2] ~ ' UTC, or at once after: drop view ' ~ holder(before[0])
                ) %}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
    {%- set now = run_query('select cast(current_timestamp() as string)').columns[0].values()[0] -%}
    {% do run_query('create view ' ~ holder(invocation_id) ~ as_alive(last + 1, now)) %}
    {% do run_query(
        'create view ' ~ turn(last + 1) ~ " as select '" ~ invocation_id
        ~ "' as invocation_id, " ~ run_lock ~ ' as has_run_lock'
    ) %}
    {%- for name in holders -%}
        {% do run_query('drop view if exists ' ~ name) %}
    {%- endfor -%}
    {%- for number in turns if number > 0 -%}
        {% do run_query('drop view if exists ' ~ turn(number)) %}
    {%- endfor -%}
{% endmacro %}

{% macro turn(number) -%}
    {{ return(schema_named('intermediate') ~ '.dbt_turn_' ~ number) }}
{%- endmacro %}

{% macro holder(invocation) -%}
    {{ return(schema_named('intermediate') ~ '.dbt_holder_' ~ invocation | replace('-', '_')) }}
{%- endmacro %}

{# Fails where the turn was taken away: the view is gone. A sign stands for a minute: to change a view takes
   longer than to ask for it. #}
{% macro give_sign_of_life() %}
    {%- set seconds = [var('spark_turn_minutes') | int * 15, 60] | min -%}
    {%- set found = run_query(
        'select turn, cast(current_timestamp() as string), alive_at <= current_timestamp() - interval ' ~ "'"
        ~ seconds ~ "' second from " ~ holder(invocation_id)
    ).rows[0] -%}
    {% if found[2] %}
        {% do run_query('alter view ' ~ holder(invocation_id) ~ as_alive(found[0], found[1])) %}
    {% endif %}
{% endmacro %}

{# The time is of the clock of the server, which all runs share. #}
{% macro as_alive(number, now) -%}
    {{ return(" as select timestamp_ltz '" ~ now ~ "' as alive_at, cast(" ~ number ~ " as bigint) as turn") }}
{%- endmacro %}
