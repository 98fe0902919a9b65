{#
  PostgreSQL: a by_month table with a partition for each service, and in it one for each month, so
  one for each interval. A query reads the intervals that it asks for, and one comes and goes with no
  lock that a reader would notice.

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
    {% call statement('create_empty_table', auto_begin=True) -%}
        create table {{ relation }}
        {{ get_assert_columns_equivalent(sql) }}
        {{ get_table_columns_and_constraints() }}
        partition by list (service)
    {%- endcall %}
{% endmacro %}


{# A new interval is written beside the table, by a statement that may use all cores (an insert may not:
   https://www.postgresql.org/docs/current/when-can-parallel-query-be-used.html), and attached. One
   that is there is replaced row by row inside its partition: to exchange the partition would keep
   readers out, and those that began before would find neither the old rows nor the new. #}
{% macro write_partition(relation, columns, sql, interval, is_this_interval) %}
    {%- set of_service = find_partition(relation, "'" ~ interval.service ~ "'") -%}
    {%- set its_value = "date '" ~ interval.source_month ~ "'" -%}
    {% if of_service and find_partition(of_service, its_value) %}
        {% do default__write_interval(relation, columns, sql, interval, is_this_interval) %}
    {% elif interval.build_key is not none %}
        {% if not of_service %}
            {%- set of_service = new_partition(interval.service) -%}
            {% call statement('begin_service', auto_begin=True) -%}
                create table {{ of_service }} (like {{ relation }} including defaults)
                partition by list (source_month);
                alter table {{ relation }} attach partition {{ of_service }}
                for values in ('{{ interval.service }}')
            {%- endcall %}
        {% endif %}
        {%- set partition = new_partition(
            interval.service ~ '_' ~ interval.source_month[:7] | replace('-', '_')
        ) -%}
        {% call statement('insert_interval', auto_begin=True) -%}
            create table {{ partition }} as
            select {{ columns }} from (
                {{ sql }}
            ) as model
            where {{ is_this_interval }}
        {%- endcall %}
        {% call statement('attach_interval') -%}
            {# checked in one scan, with what spares `attach` a scan of its own #}
            alter table {{ partition }}
            {% for column in not_null_columns(relation) -%}
                alter column {{ column }} set not null,
            {% endfor -%}
            add constraint this_interval check ({{ is_this_interval }});
            alter table {{ of_service }} attach partition {{ partition }} for values in ({{ its_value }});
            alter table {{ partition }} drop constraint this_interval
        {%- endcall %}
    {% endif %}
{% endmacro %}


{# Sample the whole, which is to sample every partition, when it has twice the rows that it had when
   that was done last, or it never was: autovacuum does not. Else only the partitions of the intervals. #}
{% macro analyze_partitions(relation, intervals) %}
    {%- set is_due = run_query(
        "select coalesce(sum(b.row_count), 0) > 2 * c.reltuples from pg_class as c"
        ~ " left join " ~ month_builds() ~ " as b on b.table_name = '"
        ~ relation.schema ~ "." ~ relation.identifier ~ "'"
        ~ " where c.oid = '" ~ relation ~ "'::regclass group by c.reltuples"
    ).columns[0].values()[0] -%}
    {%- if is_due -%}
        analyze {{ relation }};
    {%- else -%}
        {%- for interval in intervals if interval.build_key is not none -%}
            {%- set of_service = find_partition(relation, "'" ~ interval.service ~ "'") -%}
            analyze {{ find_partition(of_service, "date '" ~ interval.source_month ~ "'") }};
        {% endfor -%}
    {%- endif -%}
    select 1
{% endmacro %}


{# The partitions in which a replaced interval left something: the others need no vacuum. #}
{% macro partitions_to_free(relation) %}
    {%- set found = run_query(
        "select relid::regclass::text from pg_partition_tree('" ~ relation ~ "')"
        ~ " where isleaf and pg_stat_get_dead_tuples(relid) > 0"
    ) -%}
    {{ return(found.columns[0].values()) }}
{% endmacro %}


{# The partition of this run: a table that is rebuilt has, beside the one that readers see, its own.
   The name may have 63 characters. #}
{% macro new_partition(of_what) -%}
    intermediate.{{ adapter.quote(this.identifier[:35] ~ '_' ~ of_what ~ '_' ~ invocation_id[:8]) }}
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
