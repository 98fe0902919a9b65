/* The runs of dbt, newest first. */
select invocation_id, command, started_at, completed_at, succeeded
from intermediate.dbt_invocations
order by completed_at desc
limit 20
