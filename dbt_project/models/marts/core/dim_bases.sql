-- Grain: one base, by its licence number: licensed now, reported in the past, or seen in trips.

with licensed as (

    select
        *,
        upper(trim(base_number)) as base_key
    from {{ ref('stg_nyc_open_data__fhv_bases') }}

),

report as (

    select * from {{ ref('stg_nyc_open_data__fhv_base_report') }}

),

report_counts as (

    select * from {{ ref('int_report_counts') }}
    where dispatching_base_num is not null

),

companies as (

    select * from {{ ref('companies') }}

),

company_bases as (

    select * from {{ ref('company_bases') }}

),

-- the newest name that the report has
reported as (

    select
        base_number as base_key,
        base_name,
        dba,
        row_number() over (partition by base_number order by report_month desc) as newest
    from report
    -- it gives the high-volume companies one line, under their names
    where base_number not in (select upper(companies.company) from companies)

),

-- the newest company of whose licence it had trips
seen as (

    select
        company_id,
        upper(trim(dispatching_base_num)) as base_key,
        row_number() over (
            partition by upper(trim(dispatching_base_num))
            order by
                case when company_id is not null then source_month end desc nulls last,
                trips desc,
                company_id asc
        ) as newest
    from report_counts
    where trim(dispatching_base_num) <> ''

),

base_keys as (

    select base_key from licensed
    union
    select base_key from reported
    union
    select base_key from seen
    union
    select base_number as base_key from company_bases

)

select
    cast(base_keys.base_key as {{ sql_type('text') }}) as base_number,
    cast(coalesce(licensed.base_name, reported.base_name) as {{ sql_type('text') }}) as base_name,
    cast(reported.dba as {{ sql_type('text') }}) as dba,
    companies.company_id,
    cast(companies.company as {{ sql_type('text') }}) as company,
    cast(licensed.base_type as {{ sql_type('text') }}) as base_type,
    cast(licensed.city as {{ sql_type('text') }}) as city,
    cast(licensed.state as {{ sql_type('text') }}) as state,
    cast(licensed.postcode as {{ sql_type('text') }}) as postcode,
    licensed.base_key is not null as is_licensed
from base_keys
left join licensed on base_keys.base_key = licensed.base_key
left join reported on base_keys.base_key = reported.base_key and reported.newest = 1
left join seen on base_keys.base_key = seen.base_key and seen.newest = 1
left join company_bases on base_keys.base_key = company_bases.base_number
left join companies on coalesce(seen.company_id, company_bases.company_id) = companies.company_id
