{{ config(materialized='table') }}

with documents as (

    select * from {{ ref('knowledge_doc') }}

),

passages as (

    select * from {{ ref('int_doc_passages__cut') }}

),

final as (

    select
        {{ passage_id('documents', 'passages') }} as passage_id,
        documents.collection,
        documents.doc_id,
        documents.source_fingerprint,
        passages.ordinal,
        passages.heading_path,
        passages.first_section,
        passages.last_section,
        passages.text,
        passages.byte_start,
        passages.byte_end,
        passages.page,
        passages.boxes,
        passages.parts,
        passages.start_seconds,
        passages.end_seconds,
        passages.token_count,
        passages.language,
        {{ may_be_indexed('documents.pii_level') }} as allowed_for_indexing,
        passages.encoding,
        passages.normalisation,
        passages.parser_version
    from documents
    inner join passages on documents.source_fingerprint = passages.source_fingerprint

)

select * from final
