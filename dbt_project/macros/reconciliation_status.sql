{# What a comparison with a report of TLC comes to: one word for each of its outcomes. The row has
   diff_pct, and tolerance_pct and the band of the register, min_diff_pct to max_diff_pct with
   known_divergence, each null where there is none. #}
{% macro reconciliation_status(reported) -%}
    case
        when {{ reported }} is null then 'not_reported'
        when abs(diff_pct) <= tolerance_pct then 'reconciled'
        when diff_pct between min_diff_pct and max_diff_pct then 'known_divergence'
        when tolerance_pct is null and known_divergence is null then 'not_assessed'
        else 'out_of_tolerance'
    end
{%- endmacro %}

{# Ours less TLC's, percent of TLC's: 0 if both are 0, and null if only TLC's is. #}
{% macro difference_pct(ours, theirs) -%}
    case
        when {{ ours }} = {{ theirs }} then 0
        else
            100 * cast({{ ours }} - {{ theirs }} as {{ sql_type('double precision') }})
            / nullif({{ theirs }}, 0)
    end
{%- endmacro %}

{# The tolerance and the entry of the register that hold for the rows of a relation with service and
   month. #}
{% macro join_reviewed(compared, measure) -%}
    left join tolerances
        on
            {{ compared }}.service = tolerances.service
            and tolerances.measure = {{ measure }}
            and {{ compared }}.month >= tolerances.month_from
            and {{ compared }}.month <= coalesce(tolerances.month_to, {{ compared }}.month)
    left join divergences
        on
            {{ compared }}.service = divergences.service
            and divergences.measure = {{ measure }}
            and {{ compared }}.month between divergences.month_from and divergences.month_to
{%- endmacro %}
