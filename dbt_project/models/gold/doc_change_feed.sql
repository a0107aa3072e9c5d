{{ config(materialized='incremental', event_time='snapshot_date') }}

with listings as (

    select * from {{ ref('int_doc_assets__listed', where=up_to_window('snapshot_date', 'date')) }}

),

versions as (

    {{ document_versions('listings') }}

),

final as (

    select
        valid_from as snapshot_date,
        collection,
        doc_id,
        case
            when is_deleted then 'removed'
            when previous_fingerprint is null then 'added'
            else 'changed'
        end as change_type,
        source_fingerprint,
        previous_fingerprint,
        raw_object_path,
        title,
        product_line,
        license_tag,
        pii_level
    from versions
    where {{ in_window('valid_from', 'date') }}

)

select * from final
