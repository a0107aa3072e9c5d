{{ config(materialized='incremental', event_time='kpi_date') }}

with events as (

    select
        ticket_id,
        event_id,
        occurred_at,
        cast(occurred_at as date) as kpi_date,
        coalesce(product_line, 'unknown') as product_line,
        status not in ('resolved', 'closed') as is_open
    from {{ ref('ticket_events', where=in_window('occurred_at')) }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by kpi_date, ticket_id
            order by occurred_at desc, event_id desc
        ) as from_last
    from events

),

final as (

    select
        kpi_date,
        ticket_id,
        product_line,
        max(case when from_last = 1 then 1 else 0 end) = 1 as is_last,
        max(case when from_last = 1 and is_open then 1 else 0 end) = 1 as is_open
    from ranked
    group by kpi_date, ticket_id, product_line

)

select * from final
