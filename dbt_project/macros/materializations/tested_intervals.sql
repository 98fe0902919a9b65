{#
  Tests of by_month tables run over the intervals that no run has passed yet, so that they too cost
  what is new. A test asks for it with  config: {where: untested_intervals}.  `dbt test` tests all. An
  interval whose test failed stays untested, and fails again until it is mended.

  dbt asks get_where_subquery for what every generic test reads: this one takes the place of dbt's own
  in the whole project. Any other `where` is SQL, as with dbt's own.
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if where == 'untested_intervals' -%}
        (select * from {{ relation }} where {{ is_to_be_tested(relation) }}) dbt_subquery
    {%- elif not where -%}
        {{ relation }}
    {%- else -%}
        (select * from {{ relation }} where {{ where }}) dbt_subquery
    {%- endif -%}
{%- endmacro %}


{# Whether a row is of an interval that this command tests, by the builds of a by_month table. A test that
   is a file of its own asks for it in its `where`. #}
{% macro is_to_be_tested(relation) -%}
    {{ is_untested_interval(relation) if execute and flags.WHICH == 'build' else '1 = 1' }}
{%- endmacro %}


{# The intervals as literals, by which every engine finds their rows without reading the others; behind a
   join with the builds, PostgreSQL reads the whole table. #}
{% macro is_untested_interval(relation) -%}
    {%- set found = run_query(
        "select service, cast(source_month as varchar(10)) from " ~ month_builds()
        ~ " where table_name = '" ~ recorded_name(relation) ~ "'"
        ~ " and source_month is not null and tested_at is null order by service, source_month"
    ) -%}
    {%- for service, months in found.rows | groupby(0) -%}
        {%- if not loop.first %} or {% endif -%}
        (service = '{{ service }}' and source_month in (
            {%- for month in months %}date '{{ month[1] }}'{{ ', ' if not loop.last }}{% endfor -%}
        ))
    {%- else -%}
        1 = 0
    {%- endfor -%}
{%- endmacro %}


{# The tests of each node, by its id. All at once: to go through the graph takes as long as to query. #}
{% macro tests_by_node() %}
    {%- set tests = {} -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' -%}
        {%- for unique_id in test.depends_on.nodes | unique -%}
            {%- do tests.setdefault(unique_id, []).append(test) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(tests) }}
{% endmacro %}


{# md5 of what the tests of a table ask. The SQL of a generic test is part of it, so it is rendered here, as
   for a table of another name: such a test cannot query while it is rendered. Of a test that is a file of
   its own, the file is part of it, and no macro that it calls. #}
{% macro tests_key(tests) %}
    {%- set asked = [] -%}
    {%- for test in tests -%}
        {%- set parts = [test.raw_code] -%}
        {%- for name in ('where', 'severity', 'error_if', 'warn_if', 'fail_calc', 'limit') -%}
            {%- do parts.append(name ~ ' ' ~ test.config.get(name)) -%}
        {%- endfor -%}
        {%- if test.test_metadata -%}
            {%- set arguments = dict(test.test_metadata.kwargs, model='tested') -%}
            {%- do parts.append(tojson(arguments, sort_keys=true)) -%}
            {%- set test_macro = context.get('test_' ~ test.test_metadata.name) -%}
            {%- if test_macro -%}
                {%- do parts.append(test_macro(**arguments)) -%}
            {%- endif -%}
        {%- endif -%}
        {%- do asked.append(parts | join('\n')) -%}
    {%- endfor -%}
    {{ return(local_md5(asked | sort | join('\n'))) }}
{% endmacro %}


{# Tables whose tests are others than those that they were tested by count as untested, with all their
   intervals: the next build tests them again. Where an earlier release recorded no tests, what it tested
   stays so. #}
{% macro untest_where_tests_changed() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test') %}
        {%- set recorded = {} -%}
        {%- for table_name, key in run_query(
            'select table_name, tests from ' ~ month_builds() ~ ' where source_month is null'
        ).rows -%}
            {%- do recorded.update({table_name: key}) -%}
        {%- endfor -%}
        {%- set changed, tests = [], tests_by_node() -%}
        {%- for node in graph.nodes.values() if node.config.materialized in ('by_month', 'by_content') -%}
            {%- set table_name = node.schema.removeprefix(schema_prefix()) ~ '.' ~ node.alias -%}
            {%- if table_name in recorded -%}
                {%- set key = tests_key(tests.get(node.unique_id, [])) -%}
                {%- if recorded[table_name] != key -%}
                    {%- do changed.append({
                        'table_name': table_name,
                        'tests_key': key,
                        'is_untested': recorded[table_name] is not none
                    }) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {{ write_tests(changed) }}
    {% endif %}
{% endmacro %}


{# Write the md5 of the tests of these tables, and forget that they were tested where one `is_untested`. #}
{% macro write_tests(changed) %}
    {{ return(adapter.dispatch('write_tests')(changed)) }}
{% endmacro %}

{% macro default__write_tests(changed) %}
    {% for table in changed %}
        {% if table.is_untested %}
            update {{ month_builds() }} set tested_at = null where table_name = '{{ table.table_name }}';
        {% endif %}
        update {{ month_builds() }} set tests = '{{ table.tests_key }}'
        where table_name = '{{ table.table_name }}' and source_month is null;
    {% endfor %}
{% endmacro %}


{# Mark as tested the intervals of each table all of whose tests ran in this run and passed: those that
   were there when the first of these tests began. Another dbt may have put one there since. How
   long ago that was is told by our clock, and when that was by the engine's, as they may differ. #}
{% macro mark_tested_intervals(results) %}
    {% if execute and flags.WHICH in ('build', 'test') %}
        {% set now = modules.datetime.datetime.now(modules.pytz.utc).replace(tzinfo=none) %}
        {% set judged, tests_of = [], tests_by_node() %}
        {% for node in graph.nodes.values() if node.config.materialized in ('by_month', 'by_content') %}
            {% set ran, passed, begun = [], [], [] %}
            {% set its_tests = tests_of.get(node.unique_id, []) %}
            {% set tests = its_tests | map(attribute='unique_id') | list %}
            {% for result in results if result.node.unique_id in tests %}
                {% do ran.append(result.node.unique_id) %}
                {% if result.status in ('pass', 'warn') %}
                    {% do passed.append(result.node.unique_id) %}
                    {% do begun.extend(result.timing | map(attribute='started_at')) %}
                {% endif %}
            {% endfor %}
            {# of the table as a whole: it was good when all its tests ran last, and none has failed since #}
            {% if passed | length == tests | length or passed | length < ran | length %}
                {% do judged.append({
                    'table_name': node.schema.removeprefix(schema_prefix()) ~ '.' ~ node.alias,
                    'passed': passed | length == tests | length,
                    'tests_key': tests_key(its_tests),
                    'seconds': (now - begun | min).total_seconds()
                        if tests and passed | length == tests | length
                        and node.config.materialized == 'by_month' else none
                }) %}
            {% endif %}
        {% endfor %}
        {{ write_judged(judged) }}
    {% endif %}
{% endmacro %}


{# Write what the tests said of tables: whether all of a table's `passed`, and of by_month tables how many
   `seconds` ago the first of them began. `dbt test` looks at every interval: if a test fails there, it may
   be in any of them, and the next build tests all of the table again. #}
{% macro write_judged(judged) %}
    {{ return(adapter.dispatch('write_judged')(judged)) }}
{% endmacro %}

{% macro default__write_judged(judged) %}
    {% for table in judged %}
        update {{ month_builds() }}
        set tested_at = {{ clock_time() if table.passed else 'null' }}
            {%- if table.passed %}, tests = '{{ table.tests_key }}'{% endif %}
        where table_name = '{{ table.table_name }}'
            {{ 'and source_month is null' if table.passed or flags.WHICH != 'test' }};
        {% if table.seconds is not none %}
            update {{ month_builds() }} set tested_at = {{ clock_time() }}
            where table_name = '{{ table.table_name }}'
                and source_month is not null and tested_at is null
                and built_at < {{ clock_time() }} - interval '{{ table.seconds }} seconds';
        {% endif %}
    {% endfor %}
{% endmacro %}


{# Remember each run, and what it was given: MEDALLION_BUILD_INPUTS, set by whoever runs dbt, names
   the project and the raw versions, so that the next run can see that there is nothing to do. #}
{% macro record_invocation(results) %}
    {% if execute %}
        {% set failed = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list %}
        {{ record_invocation_as(not failed) }}
    {% endif %}
{% endmacro %}


{# The row of this run, written anew. #}
{% macro record_invocation_as(succeeded) %}
    {{ return(adapter.dispatch('record_invocation_as')(succeeded)) }}
{% endmacro %}

{% macro default__record_invocation_as(succeeded) %}
    {% if flags.WHICH in ('run', 'build', 'test') %}
        delete from intermediate.dbt_invocations where invocation_id = '{{ invocation_id }}';
        insert into intermediate.dbt_invocations values (
            '{{ invocation_id }}', '{{ flags.WHICH }}', '{{ run_started_at.isoformat() }}',
            {{ current_timestamp() }}, {{ 'true' if succeeded else 'false' }},
            '{{ env_var("MEDALLION_BUILD_INPUTS", "") }}'
        );
    {% endif %}
{% endmacro %}
