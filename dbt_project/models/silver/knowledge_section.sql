{{ config(materialized='table') }}

with documents as (

    select * from {{ ref('knowledge_doc') }}

),

sections as (

    select * from {{ ref('doc_sections') }}

),

final as (

    select
        documents.collection,
        documents.doc_id,
        documents.source_fingerprint,
        sections.ordinal,
        sections.heading_ordinal,
        sections.heading_level,
        sections.heading_path,
        sections.heading_ids,
        sections.kind,
        sections.text,
        sections.byte_start,
        sections.byte_end,
        sections.page,
        sections.boxes,
        sections.start_seconds,
        sections.end_seconds,
        sections.speaker,
        sections.code_language,
        sections.encoding,
        sections.normalisation,
        sections.parser_version,
        sections.reason
    from documents
    inner join sections on documents.source_fingerprint = sections.source_fingerprint

)

select * from final
