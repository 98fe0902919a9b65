{# Let nobody write on PostgreSQL but the roles of `medallion setup-postgres`, where the schemas belong
   to them. What others make there, a superuser too, is theirs: the roles could never replace it. #}
{% macro refuse_others() %}
    {%- if execute and target.type == 'postgres' and flags.WHICH in ('run', 'build', 'test', 'seed', 'snapshot') -%}
        {%- set found = run_query(
            "select loaded.nspowner::regrole::text, built.nspowner::regrole::text, current_user::text"
            ~ " from pg_namespace as loaded cross join pg_namespace as built"
            ~ " where loaded.nspname = 'raw' and built.nspname = 'marts'"
        ) -%}
        {%- for loader, transformer, acting in found.rows -%}
            {%- set prefix = loader[:-7] -%}
            {%- if loader == prefix ~ '_loader' and transformer == prefix ~ '_transformer' and acting != transformer -%}
                {% do exceptions.raise_compiler_error(
                    'the schemas of database ' ~ target.dbname ~ ' belong to the roles ' ~ loader ~ ' and '
                    ~ transformer ~ ', and this would write as ' ~ acting
                    ~ '. Set MEDALLION_POSTGRES_ROLES=' ~ prefix ~ '.'
                ) %}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
