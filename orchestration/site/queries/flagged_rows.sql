/* Flagged rows by the first rule that they break, and service. */
select
    rules.rule,
    reasons.invalid_reason,
    reasons.dataset as service,
    cast(sum(reasons.invalid_rows) as bigint) as invalid_rows,
    max(reasons.month) as newest_month,
    rules.meaning,
    rules.source
from marts.ledger_reasons as reasons
inner join staging.invalid_reasons as rules on reasons.invalid_reason = rules.invalid_reason
group by rules.rule, reasons.invalid_reason, reasons.dataset, rules.meaning, rules.source
order by rules.rule, reasons.dataset
