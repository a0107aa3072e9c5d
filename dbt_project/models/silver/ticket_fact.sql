{{ config(materialized='table') }}

with events as (

    select * from {{ ref('ticket_events') }}

),

ranked as (

    select
        *,
        row_number() over (partition by ticket_id order by occurred_at desc, event_id desc) as recency
    from events

),

lives as (

    select
        ticket_id,
        min(occurred_at) as first_event_at,
        count(*) as event_count,
        sum(case when event_type = 'resolved' then 1 else 0 end) as resolution_count,
        sum(case when event_type = 'reopened' then 1 else 0 end) as reopening_count
    from events
    group by ticket_id

),

final as (

    select
        ranked.ticket_id,
        ranked.customer_id,
        ranked.org_id,
        ranked.status,
        ranked.status not in ('resolved', 'closed') as is_open,
        ranked.priority,
        ranked.category,
        ranked.product_line,
        ranked.assignee_id,
        ranked.sla_tier,
        ranked.sla_due_at,
        ranked.created_at,
        ranked.resolved_at,
        ranked.first_response_at,
        lives.first_event_at,
        ranked.occurred_at as last_event_at,
        ranked.event_id as last_event_id,
        ranked.event_type as last_event_type,
        lives.event_count,
        cast(lives.resolution_count as bigint) as resolution_count,
        cast(lives.reopening_count as bigint) as reopening_count
    from ranked
    inner join lives on ranked.ticket_id = lives.ticket_id
    where ranked.recency = 1

)

select * from final
