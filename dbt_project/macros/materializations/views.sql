{#
  dbt's `view` for DuckDB, but that a view is replaced by one statement: dbt makes another one, and
  renames and drops, which takes five times as many.
#}
{% materialization view, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- set existing = load_cached_relation(this) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if existing is not none and not existing.is_view %}
        {% do adapter.drop_relation(existing) %}
    {% endif %}
    {% call statement('main') -%}
        create or replace view {{ target_relation }} as (
            {{ sql }}
        )
    {%- endcall %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# dbt has left out the columns that are not there before it asks for this, and dbt-duckdb would look again. #}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
    {% for name, column in column_dict.items() %}
    comment on column {{ relation }}.{{ adapter.quote(name) if column['quote'] else name }}
    is {{ duckdb_escape_comment(column['description']) }};
    {% endfor %}
{% endmacro %}
