{#
  dbt's `view` for Spark, but that a view is left alone which is there as it would be made now, and so are
  those that it reads: Spark takes seconds to look through views over views. What a view was made of is a
  property of the view:

    medallion.fingerprint   md5 of its SQL, as the build records have it on other engines
    medallion.made_of       md5 of that, of its descriptions, and of what it reads: made_of of views, and
                            the columns of tables
#}
{% materialization view, adapter='spark' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set made_of = view_made_of() -%}

    {{ run_hooks(pre_hooks) }}
    {%- if existing is not none and existing.is_view and not should_full_refresh()
        and property_of(existing, 'made_of') == made_of -%}
        {%- do store_raw_result(name='main', message='UNCHANGED', code='UNCHANGED', rows_affected=0) -%}
    {%- else -%}
        {% if existing is not none and not existing.is_view %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main') -%}
            {{ create_described_view(target_relation, sql, made_of) }}
        {%- endcall %}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{% macro view_made_of() %}
    {%- set parts = [model.compiled_code, docs_key()] -%}
    {%- for unique_id in model.depends_on.nodes -%}
        {%- set node = graph.nodes.get(unique_id, graph.sources.get(unique_id)) -%}
        {%- set relation = api.Relation.create(
            schema=node.schema, identifier=node.identifier if node.resource_type == 'source' else node.alias
        ) -%}
        {%- if node.config.materialized == 'view' -%}
            {%- do parts.append(property_of(relation, 'made_of')) -%}
        {%- else -%}
            {%- for column in adapter.get_columns_in_relation(relation) -%}
                {%- do parts.append(column.name ~ ' ' ~ column.dtype) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('\n'))) }}
{% endmacro %}


{% macro create_described_view(relation, sql, made_of) -%}
    create or replace view {{ relation }} (
    {%- for row in run_query('describe query ' ~ sql).rows %}
        {{ adapter.quote(row[0]) }} comment {{ comment_text(model.columns.get(row[0], {}).description) }}
        {{- ',' if not loop.last }}
    {%- endfor %}
    )
    comment {{ comment_text(model.description) }}
    tblproperties (
        'medallion.fingerprint' = '{{ local_md5(model.compiled_code) }}', 'medallion.made_of' = '{{ made_of }}'
    )
    as
    {{ sql }}
{%- endmacro %}
