-- Grain: one company of high-volume records.

with companies as (

    select * from {{ ref('companies') }}

)

select
    company_id,
    cast(company as {{ sql_type('text') }}) as company,
    cast(hvfhs_license_num as {{ sql_type('text') }}) as hvfhs_license_num,
    first_month,
    last_month,
    cast(source as {{ sql_type('text') }}) as source
from companies
