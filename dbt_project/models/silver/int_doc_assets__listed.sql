{{ config(materialized='incremental', event_time='snapshot_date') }}

with source as (

    select * from {{ source('bronze', 'raw_doc_assets', where=in_window('snapshot_date', 'date')) }}

),

final as (

    select
        snapshot_date,
        collection,
        doc_id,
        asset_type,
        source_file,
        disposition,
        is_tombstone,
        source_fingerprint,
        raw_object_path,
        size_bytes,
        title,
        language,
        doc_version,
        product_line,
        license_tag,
        pii_level,
        owner,
        source_id,
        manifest_id,
        batch_id,
        run_id
    from source

)

select * from final
