-- A row here is two spans of a service and measure that share a month, in the register of
-- divergences or among the tolerances: the month would be reconciled twice.

with divergences as (

    select * from {{ ref('known_divergences') }}

),

tolerances as (

    select * from {{ ref('reconciliation_tolerances') }}

),

spans as (

    select
        'known_divergences' as seed,
        service,
        measure,
        month_from,
        month_to
    from divergences
    union all
    select
        'reconciliation_tolerances' as seed,
        service,
        measure,
        month_from,
        coalesce(month_to, date '9999-12-01') as month_to
    from tolerances

)

select
    earlier.seed,
    earlier.service,
    earlier.measure,
    earlier.month_to,
    later.month_from
from spans as earlier
inner join spans as later
    on
        earlier.seed = later.seed
        and earlier.service = later.service
        and earlier.measure = later.measure
        and earlier.month_from < later.month_from
        and earlier.month_to >= later.month_from
