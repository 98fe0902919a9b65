{#
  PostgreSQL: a by_month table with a partition for each service, and in it one for each month. A
  query reads the months that it asks for, a month comes with no lock that a reader would notice,
  and one that is replaced leaves nothing behind to vacuum.

  dbt-postgres knows nothing of partitions yet:
  https://github.com/dbt-labs/dbt-adapters/pull/2094

  The partitions lie in the schema intermediate, where nobody who looks for marts finds them.
#}
{% macro create_partitioned_table(relation, sql) %}
    {% if not config.get('contract').enforced %}
        {% do exceptions.raise_compiler_error(
            this.identifier ~ ' is partitioned, so it needs a contract, which gives its columns.'
        ) %}
    {% endif %}
    {% call statement('create_month_table', auto_begin=True) -%}
        create table {{ relation }}
        {{ get_assert_columns_equivalent(sql) }}
        {{ get_table_columns_and_constraints() }}
        partition by list (service)
    {%- endcall %}
{% endmacro %}


{# The rows are written beside the table, by a statement that may use all cores (an insert may not:
   https://www.postgresql.org/docs/current/when-can-parallel-query-be-used.html). Only to drop the
   month's former partition wants readers away, and only for the moment until the commit. #}
{% macro exchange_partition(relation, columns, sql, month, is_this_month) %}
    {%- set of_service = find_partition(relation, "'" ~ month.service ~ "'") -%}
    {%- set its_value = "date '" ~ month.source_month ~ "'" -%}
    {%- set former = find_partition(of_service, its_value) if of_service -%}
    {%- set partition = new_partition(month.service ~ '_' ~ month.source_month[:7] | replace('-', '_')) -%}

    {% if month.build_key is not none %}
        {% if not of_service %}
            {%- set of_service = new_partition(month.service) -%}
            {% call statement('begin_service', auto_begin=True) -%}
                create table {{ of_service }} (like {{ relation }} including defaults)
                partition by list (source_month);
                alter table {{ relation }} attach partition {{ of_service }}
                for values in ('{{ month.service }}')
            {%- endcall %}
        {% endif %}
        {% call statement('insert_month', auto_begin=True) -%}
            create table {{ partition }} as
            select {{ columns }} from (
                {{ sql }}
            ) as model
            where {{ is_this_month }}
        {%- endcall %}
        {% call statement('check_month') -%}
            {# so that to attach it asks for no scan #}
            alter table {{ partition }}
            {% for column in not_null_columns(relation) -%}
                alter column {{ column }} set not null,
            {% endfor -%}
            add constraint this_month check ({{ is_this_month }})
        {%- endcall %}
    {% endif %}
    {% if former %}
        {% call statement('delete_month', auto_begin=True) -%}
            drop table {{ former }}
        {%- endcall %}
    {% endif %}
    {% if month.build_key is not none %}
        {% call statement('attach_month') -%}
            alter table {{ of_service }} attach partition {{ partition }} for values in ({{ its_value }});
            alter table {{ partition }} drop constraint this_month
        {%- endcall %}
    {% endif %}
{% endmacro %}


{# Each new partition, and the table as a whole once half of its months are new: a sample of the
   whole is a sample of every partition. #}
{% macro analyze_partitions(relation, months) %}
    {%- set built = months | rejectattr('build_key', 'none') | list -%}
    {%- set held = run_query(
        "select count(*) from pg_partition_tree('" ~ relation ~ "') where isleaf"
    ).columns[0].values()[0] -%}
    {%- if built | length * 2 >= held -%}
        analyze {{ relation }};
    {%- else -%}
        {%- for month in built -%}
            {%- set of_service = find_partition(relation, "'" ~ month.service ~ "'") -%}
            analyze {{ find_partition(of_service, "date '" ~ month.source_month ~ "'") }};
        {% endfor -%}
    {%- endif -%}
    select 1
{% endmacro %}


{# The partition of this run: a table that is rebuilt has, beside the one that readers see, its own. #}
{% macro new_partition(of_what) -%}
    intermediate.{{ adapter.quote(this.identifier ~ '_' ~ of_what ~ '_' ~ invocation_id[:8]) }}
{%- endmacro %}


{# The partition of a table for one value; none where there is none. #}
{% macro find_partition(relation, value) %}
    {%- set found = run_query(
        "select format('%I.%I', c.relnamespace::regnamespace, c.relname)"
        ~ " from pg_inherits as i inner join pg_class as c on i.inhrelid = c.oid"
        ~ " where i.inhparent = '" ~ relation ~ "'::regclass"
        ~ " and pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%L)', " ~ value ~ ")"
    ) -%}
    {{ return(found.columns[0].values()[0] if found.rows else none) }}
{% endmacro %}


{% macro not_null_columns(relation) %}
    {%- set found = run_query(
        "select quote_ident(attname) from pg_attribute"
        ~ " where attrelid = '" ~ relation ~ "'::regclass and attnum > 0 and attnotnull"
    ) -%}
    {{ return(found.columns[0].values()) }}
{% endmacro %}
