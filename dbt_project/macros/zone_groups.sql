{# Zones that belong together, as lists for `in`: models that are built by month know them by their
   code, so their months are built again where a list changes. #}

{# The airports of TLC's zone lookup (service zones EWR and Airports): Newark, JFK, LaGuardia. #}
{% macro airport_zones() -%}
    (1, 132, 138)
{%- endmacro %}

{# The congestion relief zone: Manhattan south of and including 60th Street
   (https://congestionreliefzone.mta.info), as the zones of TLC's lookup that lie in it. #}
{% macro cbd_zones() -%}
    (
        4, 12, 13, 45, 48, 50, 68, 79, 87, 88, 90, 100, 107, 113, 114, 125, 137, 144, 148, 158, 161,
        162, 163, 164, 170, 186, 209, 211, 224, 229, 230, 231, 232, 233, 234, 246, 249, 261
    )
{%- endmacro %}
