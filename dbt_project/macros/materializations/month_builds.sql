{#
  intermediate.month_builds: what each by_month table was built from. Grain: table × service × month,
  and one row a table or view without service and month, which says that it was begun with this
  definition.

    build_key   md5 of the definition and of what the month was built from: a month is stale when
                this is not what it would be built from now. Of a table, md5 of its descriptions
    built_at    when this month came into this table
    tested_at   when a run had run every test of the table over this month, and all passed
#}
{% macro month_builds() -%}
    {{ api.Relation.create(
        database=target.database, schema='intermediate', identifier='month_builds'
    ) }}
{%- endmacro %}


{% macro create_month_builds() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') %}
        {% do refuse_empty_builds() %}
        {# `if not exists` asks for the right to make a schema even where it is there #}
        {% if not adapter.check_schema_exists(target.database, 'intermediate') %}
            create schema intermediate;
        {% endif %}
        {% if target.type == 'postgres' %}
            {# a model that finds this in its own session shares a pooler's (see wait_for_turn) #}
            select set_config('medallion.turn', 'on-run-start', false);
        {% endif %}
        create table if not exists {{ month_builds() }} (
            table_name varchar(200) not null,
            definition varchar(32) not null,
            service varchar(20),
            source_month date,
            file_key bigint,
            build_key varchar(32),
            row_count bigint,
            built_at timestamp with time zone,
            tested_at timestamp with time zone
        );
        create table if not exists intermediate.dbt_invocations (
            invocation_id varchar(40) not null,
            command varchar(20) not null,
            started_at varchar(40) not null,
            completed_at timestamp with time zone not null,
            succeeded boolean not null,
            inputs varchar(64)
        );
        {# until its end says otherwise: one that is killed has failed, and may have built months #}
        {{ record_invocation_as(false) }}
    {% endif %}
{% endmacro %}


{# A month that was built of no rows would count as built for good. #}
{% macro refuse_empty_builds() %}
    {%- if flags.EMPTY -%}
        {% do exceptions.raise_compiler_error(
            "--empty (DBT_EMPTY) builds months without rows, and this warehouse would take them for whole."
            ~ " Run dbt without it: only stale months are built."
        ) %}
    {%- endif -%}
{% endmacro %}


{# md5 of what a model is: its own SQL, contract with its constraints, and partitions, the SQL of
   every view it reads, directly or through others, the columns of the sources at their end, and the
   content of seeds. Tables built by month are followed by their builds instead. #}
{% macro month_definition(sql) %}
    {%- set views, parts = [], [sql] -%}
    {%- if target.type == 'postgres' and config.get('partitioned', false) -%}
        {%- do parts.append('partitioned') -%}
    {%- endif -%}
    {%- if config.get('contract').enforced -%}
        {%- do parts.extend(adapter.render_raw_columns_constraints(raw_columns=model.columns)) -%}
        {%- do parts.extend(adapter.render_raw_model_constraints(raw_constraints=model.constraints)) -%}
    {%- endif -%}
    {%- set queue = model.depends_on.nodes | list -%}
    {%- for _ in range(200) -%}
        {%- if queue -%}
            {%- set unique_id = queue.pop(0) -%}
            {%- set node = graph.nodes.get(unique_id, graph.sources.get(unique_id)) -%}
            {%- if node.resource_type == 'source' and unique_id not in views -%}
                {%- do views.append(unique_id) -%}
                {%- set relation = api.Relation.create(
                    database=target.database, schema=node.schema, identifier=node.identifier
                ) -%}
                {%- for column in adapter.get_columns_in_relation(relation) -%}
                    {%- do parts.append(column.name ~ ' ' ~ column.dtype) -%}
                {%- endfor -%}
            {%- elif node.resource_type == 'seed' -%}
                {%- do parts.append(node.checksum.checksum) -%}
            {%- elif node.config.materialized == 'view' and node.schema ~ '.' ~ node.alias not in views -%}
                {%- do views.append(node.schema ~ '.' ~ node.alias) -%}
                {%- do queue.extend(node.depends_on.nodes) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if views -%}
        {%- set found = run_query(
            "select definition from " ~ month_builds() ~ " where source_month is null"
            ~ " and table_name in ('" ~ views | join("', '") ~ "') order by table_name"
        ) -%}
        {%- do parts.extend(found.columns[0].values()) -%}
    {%- endif -%}
    {{ return(local_md5(parts | join('\n'))) }}
{% endmacro %}


{# Remember what a view was made from: a post-hook of every view that by_month tables read. The
   engine's own text of a view does not serve: DuckDB spells types in another way once a file was
   closed and opened again, and any engine may do so in its next version. #}
{% macro record_definition() %}
    {%- if execute and model.config.materialized == 'view' -%}
        {%- set table_name = this.schema ~ '.' ~ this.identifier -%}
        {%- set definition = local_md5(model.compiled_code) -%}
        delete from {{ month_builds() }} where table_name = '{{ table_name }}' and definition <> '{{ definition }}';
        insert into {{ month_builds() }} (table_name, definition)
        select '{{ table_name }}', '{{ definition }}'
        where not exists (select 1 from {{ month_builds() }} where table_name = '{{ table_name }}')
    {%- endif -%}
{% endmacro %}


{# Whether the table was begun with this definition. #}
{% macro month_table_is_current(relation, definition) %}
    {%- if load_cached_relation(relation) is none -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set found = run_query(
        "select 1 from " ~ month_builds() ~ " where source_month is null and table_name = '"
        ~ relation.schema ~ "." ~ relation.identifier ~ "' and definition = '" ~ definition ~ "'"
    ) -%}
    {{ return(found.rows | length > 0) }}
{% endmacro %}


{% macro forget_months(relation) %}
    {% call statement('forget', auto_begin=True) -%}
        delete from {{ month_builds() }}
        where table_name = '{{ relation.schema }}.{{ relation.identifier }}'
    {%- endcall %}
    {% do adapter.commit() %}
{% endmacro %}


{# The months that the table does not hold as they would be built now: one row each, with a null
   build_key where the month is to go. #}
{% macro stale_months(relation, definition) %}
    {%- set built_from = config.get('built_from') -%}
    {%- set query -%}
        with wanted as (
            select service, source_month, file_key, md5('{{ definition }}' || inputs) as build_key
            from (
                {% if built_from %}
                select service, source_month, file_key, build_key as inputs
                from {{ month_builds() }}
                where table_name = '{{ graph.nodes['model.' ~ project_name ~ '.' ~ built_from].schema }}.{{ built_from }}'
                    and source_month is not null
                {% else %}
                select
                    dataset as service, month as source_month, file_key,
                    cast(file_key as varchar(20)) as inputs
                from {{ api.Relation.create(database=target.database, schema='raw', identifier='files') }}
                where is_current and month is not null
                {% endif %}
            ) as months
        ),

        held as (
            select service, source_month, build_key
            from {{ month_builds() }}
            where table_name = '{{ relation.schema }}.{{ relation.identifier }}'
                and source_month is not null
        )

        select
            coalesce(wanted.service, held.service) as service,
            cast(coalesce(wanted.source_month, held.source_month) as varchar(10)) as source_month,
            wanted.file_key,
            wanted.build_key,
            held.build_key is not null as is_held
        from wanted
        full outer join held
            on wanted.service = held.service and wanted.source_month = held.source_month
        where wanted.build_key is null or held.build_key is null
            or wanted.build_key <> held.build_key
        order by 2, 1
    {%- endset -%}
    {%- set months = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do months.append({
            'service': row[0], 'source_month': row[1], 'file_key': row[2], 'build_key': row[3],
            'is_held': row[4]
        }) -%}
    {%- endfor -%}
    {{ return(months) }}
{% endmacro %}
