-- A row here is an outcome of which fct_trips does not hold as many rows as were counted when the
-- month was built, by which the ledger goes: somebody else has written to the facts since. A build
-- looks at months that are new, `dbt test` at all.

with facts as (

    select * from {{ ref('fct_trips') }}
    where {{ is_to_be_tested(ref('int_fact_counts')) }}

),

fact_counts as (

    select * from {{ ref('int_fact_counts') }}
    where {{ is_to_be_tested(ref('int_fact_counts')) }}

),

held as (

    select
        service,
        source_month,
        file_key,
        invalid_reason,
        count(*) as fact_rows,
        count(case when is_valid then 1 end) as valid_rows
    from facts
    group by service, source_month, file_key, invalid_reason

),

counted as (

    select
        service,
        source_month,
        file_key,
        invalid_reason,
        fact_rows,
        valid_rows
    from fact_counts

),

not_counted as (

    select * from held
    except
    select * from counted

),

not_held as (

    select * from counted
    except
    select * from held

),

differing as (

    select
        'held now' as found,
        service,
        source_month,
        file_key,
        invalid_reason,
        fact_rows,
        valid_rows
    from not_counted
    union all
    select
        'counted then' as found,
        service,
        source_month,
        file_key,
        invalid_reason,
        fact_rows,
        valid_rows
    from not_held

)

select * from differing
