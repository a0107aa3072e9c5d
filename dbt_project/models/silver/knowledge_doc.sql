{{ config(materialized='table') }}

with history as (

    select * from {{ ref('knowledge_doc_history') }}

),

final as (

    select
        collection,
        doc_id,
        version_number,
        valid_from,
        source_fingerprint,
        raw_object_path,
        title,
        language,
        doc_version,
        product_line,
        license_tag,
        pii_level,
        owner
    from history
    where is_current and not is_deleted

)

select * from final
