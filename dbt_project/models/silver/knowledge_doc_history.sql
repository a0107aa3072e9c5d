{{ config(materialized='table') }}

with final as (

    {{ document_versions(ref('int_doc_assets__listed')) }}

)

select * from final
