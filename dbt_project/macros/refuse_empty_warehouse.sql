{# Say in one error that nothing was loaded, where every model would fail for it. #}
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
    {% endif %}
{% endmacro %}
