-- Grain: one page of the current version of a document; a document without text has page 0.

{{ config(materialized='by_content', post_hook='{{ index_text(this, "text") }}') }}

with tlc_pages as (

    select * from {{ ref('stg_tlc_documents__pages') }}

),

pages as (

    select
        'tlc_documents' as source_name,
        'tlc_documents' as dataset,
        document,
        document_id,
        media_type,
        extractor,
        page,
        page_text,
        reason,
        file_key
    from tlc_pages
    {%- for dataset, view in page_views(but_for='tlc_documents') %}
    union all
    select
        '{{ view.schema }}' as source_name,
        '{{ dataset }}' as dataset,
        document,
        document_id,
        media_type,
        extractor,
        cast(page as integer) as page,
        text as page_text,
        reason,
        file_key
    from {{ view }}
    {%- endfor %}

)

select
    cast(source_name as text) as source_name,
    cast(dataset as text) as dataset, -- noqa: RF04
    cast(document as text) as document, -- noqa: RF04
    cast(document_id as text) as version, -- noqa: RF04
    cast(media_type as text) as media_type,
    cast(extractor as text) as extractor,
    page,
    cast(page_text as text) as text, -- noqa: RF04
    cast(reason as text) as reason,
    file_key
from pages
