{#
  intermediate.month_builds: the build records. Grain: one table and interval (service and month),
  which was built, and one table or view without service and month, which was begun, or seed, which was
  loaded.

    definition  the fingerprint of the table or view (by_month.sql). Of a seed, the checksum of the file
                that was loaded
    service     of an interval; null of a table as a whole
    build_key   md5 of the fingerprint and of what the interval was built from: an interval is stale
                when this is not what it would be built from now. Of a table or view, md5 of its
                descriptions
    built_at    when this interval came into this table. Of a table, when other rows came into it as a
                whole
    tested_at   when a run had run every test of the table over this interval, and all passed. Of a
                table, when all its tests passed last; null when one has failed since, or other
                rows came into it as a whole
    tests       of a table as a whole, md5 of the tests that tested_at is by (tested_intervals.sql)
#}
{% macro month_builds() -%}
    {{ api.Relation.create(
        database=target.database or none, schema=schema_named('intermediate'), identifier='month_builds'
    ) }}
{%- endmacro %}


{% macro create_month_builds() %}
    {{ return(adapter.dispatch('create_month_builds')()) }}
{% endmacro %}

{% macro default__create_month_builds() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') %}
        {% do refuse_empty_builds() %}
        {# `if not exists` asks for the right to make a schema even where it is there #}
        {% if not adapter.check_schema_exists(target.database, 'intermediate') %}
            create schema intermediate;
        {% endif %}
        create table if not exists {{ month_builds() }} (
            table_name varchar(200) not null,
            definition varchar(64) not null,
            service varchar(64),
            source_month date,
            file_key bigint,
            build_key varchar(32),
            row_count bigint,
            built_at timestamp with time zone,
            tested_at timestamp with time zone,
            tests varchar(32)
        );
        {% if target.type == 'postgres' and run_query(
            "select 1 from information_schema.columns where table_schema = 'intermediate'"
            ~ " and table_name = 'month_builds' and column_name in ('service', 'definition')"
            ~ " and character_maximum_length < 64"
        ).rows %}
            {# an earlier release had no datasets of other sources, whose names may be longer, and no
               checksums of seeds #}
            {{ try_patiently(
                'alter table ' ~ month_builds() ~ ' alter column service type varchar(64),'
                ~ ' alter column definition type varchar(64)',
                api.Relation.create(schema='intermediate', identifier='month_builds')
            ) }};
        {% endif %}
        {%- set columns = run_query(
            "select column_name from information_schema.columns where table_catalog = current_database()"
            ~ " and table_schema = 'intermediate' and table_name = 'month_builds'"
        ).columns[0].values() %}
        {% if columns and 'tests' not in columns %}
            {# an earlier release had this md5 in the column service #}
            {%- set add_tests = 'alter table ' ~ month_builds() ~ ' add column tests varchar(32)' %}
            {{ try_patiently(
                add_tests, api.Relation.create(schema='intermediate', identifier='month_builds')
            ) if target.type == 'postgres' else add_tests }};
            update {{ month_builds() }} set tests = service, service = null where source_month is null;
        {% endif %}
        create table if not exists intermediate.dbt_invocations (
            invocation_id varchar(40) not null,
            command varchar(20) not null,
            started_at varchar(40) not null,
            completed_at timestamp with time zone not null,
            succeeded boolean not null,
            inputs varchar(64)
        );
        delete from {{ month_builds() }} where {{ is_of_no_model() }};
        {# until its end says otherwise: one that is killed has failed, and may have built months #}
        {{ record_invocation_as(false) }}
        {{ build_anew() }}
    {% endif %}
{% endmacro %}


{# Whether a record is of a table that no model makes any more, because it was renamed or removed. Nobody
   would build or test that table again, so it is not to be published. #}
{% macro is_of_no_model() -%}
    {%- set names = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type in ('model', 'seed', 'snapshot') -%}
        {%- do names.append("'" ~ node.schema.removeprefix(schema_prefix()) ~ '.' ~ node.alias ~ "'") -%}
    {%- endfor -%}
    replace(table_name, '__rebuild', '') not in ({{ names | join(', ') }})
{%- endmacro %}


{# Make the intervals stale that MEDALLION_BUILD_ANEW names, in every by_month table: JSON with
   `datasets`, and `from` and `to`, the first days of months; what is left out or empty limits nothing.
   Their rows stay until each interval is replaced. A run that is killed leaves the others stale, and
   the next one goes on. #}
{% macro build_anew() %}
    {%- set scope = env_var('MEDALLION_BUILD_ANEW', '') -%}
    {%- if scope and flags.WHICH in ('run', 'build') -%}
        {%- set scope = fromjson(scope) -%}
        update {{ month_builds() }} set build_key = ''
        where source_month is not null
            {% if scope.datasets %}and service in ('{{ scope.datasets | join("', '") }}'){% endif %}
            {% if scope.from %}and source_month >= date '{{ scope.from }}'{% endif %}
            {% if scope.to %}and source_month <= date '{{ scope.to }}'{% endif %};
    {%- endif -%}
{% endmacro %}


{# An interval that was built of no rows would count as built for good. #}
{% macro refuse_empty_builds() %}
    {%- if flags.EMPTY -%}
        {% do exceptions.raise_compiler_error(
            "--empty (DBT_EMPTY) builds months without rows, and this warehouse would take them for whole."
            ~ " Run dbt without it: only stale months are built."
        ) %}
    {%- endif -%}
{% endmacro %}


{# The fingerprint of a by_month model: md5 of its own SQL, contract with its constraints, and
   partitions, of the SQL of every view it reads, directly or through others, of the columns of the
   sources at their end, and of the content of seeds as they were loaded. The by_month model that it is built
   from is no part of it: its intervals are followed instead. Others that it reads are, as views are. #}
{% macro interval_fingerprint(sql) %}
    {%- if config.get('fingerprint_of') == 'code' -%}
        {{ return(local_md5(model.raw_code)) }}
    {%- endif -%}
    {%- set views, parts, unknown_seeds = [], [sql], [] -%}
    {%- if target.type == 'postgres' and config.get('partitioned', false) -%}
        {%- do parts.append('partitioned') -%}
    {%- endif -%}
    {%- if config.get('contract').enforced -%}
        {%- do parts.extend(contract_parts()) -%}
    {%- endif -%}
    {%- set queue = model.depends_on.nodes | list -%}
    {%- for _ in range(200) -%}
        {%- if queue -%}
            {%- set unique_id = queue.pop(0) -%}
            {%- set node = graph.nodes.get(unique_id, graph.sources.get(unique_id)) -%}
            {%- if node.resource_type == 'source' and unique_id not in views -%}
                {%- do views.append(unique_id) -%}
                {%- set relation = api.Relation.create(
                    database=target.database or none, schema=node.schema, identifier=node.identifier
                ) -%}
                {%- for column in adapter.get_columns_in_relation(relation) -%}
                    {%- do parts.append(column.name ~ ' ' ~ column.dtype) -%}
                {%- endfor -%}
            {%- elif node.resource_type == 'seed' -%}
                {%- set loaded = loaded_checksum(api.Relation.create(
                    database=target.database or none, schema=node.schema, identifier=node.alias
                )) -%}
                {%- if loaded is none -%}
                    {%- do unknown_seeds.append(unique_id) -%}
                {%- endif -%}
                {%- do parts.append(loaded or node.checksum.checksum) -%}
            {%- elif node.config.materialized in ('view', 'by_month') and node.name != config.get('built_from')
                and node.schema ~ '.' ~ node.alias not in views -%}
                {%- do views.append(node.schema ~ '.' ~ node.alias) -%}
                {%- do queue.extend(node.depends_on.nodes) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if views -%}
        {%- do parts.extend(recorded_fingerprints(views)) -%}
    {%- endif -%}
    {%- set fingerprint = local_md5(parts | join('\n')) -%}
    {%- if unknown_seeds and not has_fingerprint(this, fingerprint)
        and not has_fingerprint(rebuilt_beside(), fingerprint) -%}
        {# an earlier release loaded the seed and recorded nothing. What was built then stays; what is built
           now may be of another file than the one that is here, and is stale once the seed is loaded #}
        {{ return(local_md5(fingerprint ~ ' of unknown seeds')) }}
    {%- endif -%}
    {{ return(fingerprint) }}
{% endmacro %}


{# The checksum of the file that a seed was loaded from; none where none was recorded. The file that is here
   may be another: it is loaded by `dbt build` and `dbt seed`, where they select it, and not by `dbt run`. #}
{% macro loaded_checksum(seed) %}
    {{ return(adapter.dispatch('loaded_checksum')(seed)) }}
{% endmacro %}

{% macro default__loaded_checksum(seed) %}
    {%- set found = run_query(
        "select definition from " ~ month_builds() ~ " where source_month is null and table_name = '"
        ~ recorded_name(seed) ~ "'"
    ).rows -%}
    {{ return(found[0][0] if found else none) }}
{% endmacro %}


{# The columns and constraints of the contract, as the engine is asked for them. #}
{% macro contract_parts() %}
    {{ return(adapter.dispatch('contract_parts')()) }}
{% endmacro %}

{% macro default__contract_parts() %}
    {{ return(
        adapter.render_raw_columns_constraints(raw_columns=model.columns)
        + adapter.render_raw_model_constraints(raw_constraints=model.constraints)
    ) }}
{% endmacro %}

{# Constraints are no part of a table there: tests ask for what they say. #}
{% macro spark__contract_parts() %}
    {%- set parts = [] -%}
    {%- for name, column in model.columns.items() -%}
        {%- do parts.append(name ~ ' ' ~ sql_type(column.data_type)) -%}
    {%- endfor -%}
    {{ return(parts) }}
{% endmacro %}


{# The fingerprints that were recorded of these views, in the order of their names. #}
{% macro recorded_fingerprints(views) %}
    {{ return(adapter.dispatch('recorded_fingerprints')(views)) }}
{% endmacro %}

{% macro default__recorded_fingerprints(views) %}
    {%- set found = run_query(
        "select definition from " ~ month_builds() ~ " where source_month is null"
        ~ " and table_name in ('" ~ views | join("', '") ~ "') order by table_name"
    ) -%}
    {{ return(found.columns[0].values()) }}
{% endmacro %}


{# Record the fingerprint of a view, or the checksum of a seed: a post-hook of all that by_month models may
   read. The engine's own text of a view does not serve: DuckDB spells types in another way once a file
   was closed and opened again, and any engine may do so in its next version. #}
{% macro record_fingerprint() %}
    {%- if execute and model.config.materialized == 'view' -%}
        {{ write_fingerprint(recorded_name(this), local_md5(model.compiled_code)) }}
    {%- elif execute and model.resource_type == 'seed' -%}
        {{ write_fingerprint(recorded_name(this), model.checksum.checksum) }}
    {%- endif -%}
{% endmacro %}

{% macro write_fingerprint(table_name, fingerprint) %}
    {{ return(adapter.dispatch('write_fingerprint')(table_name, fingerprint)) }}
{% endmacro %}

{% macro default__write_fingerprint(table_name, fingerprint) %}
        delete from {{ month_builds() }} where table_name = '{{ table_name }}' and definition <> '{{ fingerprint }}';
        insert into {{ month_builds() }} (table_name, definition)
        select '{{ table_name }}', '{{ fingerprint }}'
        where not exists (select 1 from {{ month_builds() }} where table_name = '{{ table_name }}')
{% endmacro %}
