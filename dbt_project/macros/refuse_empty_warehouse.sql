{# Say in one error that nothing was loaded, or what this release reads and none has loaded yet, where
   models would fail for it. #}
{% macro refuse_empty_warehouse() %}
    {% if execute and flags.WHICH in ('run', 'build', 'test') %}
        {%- set found = run_query(
            "select 1 from information_schema.tables"
            ~ " where table_schema = 'raw' and table_name = 'files'"
        ) -%}
        {% if not found.rows %}
            {% do exceptions.raise_compiler_error(
                'There is nothing in ' ~ (target.path or target.dbname) ~ ' to build from. Load'
                ~ ' first: medallion load, or python -m ingestion.'
            ) %}
        {% endif %}
        {%- set read = [] -%}
        {%- for node in graph.nodes.values() if node.unique_id in selected_resources -%}
            {%- for source in node.depends_on.nodes if source in graph.sources -%}
                {%- do read.append(graph.sources[source].schema ~ '.' ~ graph.sources[source].identifier) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set there = run_query(
            "select table_schema || '.' || table_name from information_schema.tables"
        ).columns[0].values() -%}
        {%- set lacking = read | unique | reject('in', there) | sort -%}
        {% if lacking %}
            {% do exceptions.raise_compiler_error(
                'The warehouse ' ~ (target.path or target.dbname) ~ ' lacks ' ~ lacking | join(', ')
                ~ ', which these models read. After an upgrade, load first: medallion load, or'
                ~ ' python -m ingestion. Of a source of your own, MEDALLION_SOURCES names the folder.'
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
