/* One flagged trip of a rule, service and month. */
select min(trip_id) as trip_id
from marts.fct_trips
where service = ? and source_month = ? and invalid_reason = ?
