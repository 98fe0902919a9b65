{# Say in one error that nothing was loaded, or what this release reads and none has loaded yet, where
   models would fail for it. #}
{% macro refuse_empty_warehouse() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test') %}
        {% if not is_loaded() %}
            {% do exceptions.raise_compiler_error(
                'There is nothing in ' ~ warehouse_name() ~ ' to build from. Load'
                ~ ' first: medallion load, or python -m ingestion.'
            ) %}
        {% endif %}
        {%- set read = [] -%}
        {%- for node in graph.nodes.values() if node.unique_id in selected_resources -%}
            {%- for source in node.depends_on.nodes if source in graph.sources -%}
                {%- do read.append(graph.sources[source].schema ~ '.' ~ graph.sources[source].identifier) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set lacking = lacking_of(read | unique | list) -%}
        {%- set files = api.Relation.create(
            database=target.database or none, schema=schema_named('raw'), identifier='files'
        ) -%}
        {%- set columns = run_query('select * from ' ~ files ~ ' where 1 = 0').column_names -%}
        {%- for name in ('read_as', 'read_as_at_upgrade') if name not in columns -%}
            {%- do lacking.append('raw.files.' ~ name) -%}
        {%- endfor -%}
        {% if lacking %}
            {% do exceptions.raise_compiler_error(
                'The warehouse ' ~ warehouse_name() ~ ' lacks ' ~ lacking | sort | join(', ')
                ~ ', which these models read. After an upgrade, load first: medallion load, or'
                ~ ' python -m ingestion. Of a source of your own, MEDALLION_SOURCES names the folder.'
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
