-- Grain: one page of the current version of a document; a document without text has page 0.

{{ config(materialized='by_content', post_hook='{{ index_text(this, "text") }}') }}

with tlc_pages as (

    select * from {{ ref('stg_tlc_documents__pages') }}

)

select
    cast('tlc_documents' as text) as source_name,
    cast(document as text) as document, -- noqa: RF04
    cast(document_id as text) as version, -- noqa: RF04
    cast(media_type as text) as media_type,
    cast(extractor as text) as extractor,
    page,
    cast(page_text as text) as text, -- noqa: RF04
    cast(reason as text) as reason,
    file_key
from tlc_pages
