{{ config(materialized='incremental', event_time='kpi_date') }}

with product_lines as (

    select
        product_line,
        min(kpi_date) as first_date
    from {{ ref('int_ticket_states__daily', where=up_to_window('kpi_date', 'date')) }}
    group by product_line

),

days as (

    select
        kpi_date,
        ticket_id,
        product_line,
        is_open
    from {{ ref('int_ticket_states__daily', where=in_window('kpi_date', 'date')) }}
    where is_last

),

checkpoint as (

    select
        month_start,
        ticket_id,
        product_line
    from {{ ref('int_open_tickets__monthly', where=before_window('month_start', 'date')) }}
    where
        month_start = (
            select max(month_start)
            from {{ ref('int_open_tickets__monthly', where=before_window('month_start', 'date')) }}
        )

),

-- Without a checkpoint, the whole history.
since_checkpoint as (

    select
        ticket_id,
        {{ latest('product_line', 'kpi_date') }} as product_line,
        {{ latest('is_open', 'kpi_date') }} as is_open
    from {{ ref('int_ticket_states__daily', where=before_window('kpi_date', 'date')) }}
    where
        is_last
        and kpi_date >= (select coalesce(max(month_start), date '0001-01-01') from checkpoint)
    group by ticket_id

),

-- The state of tickets when the window begins: all that are open, and others.
before as (

    select
        ticket_id,
        product_line,
        is_open
    from since_checkpoint
    union all
    select
        checkpoint.ticket_id,
        checkpoint.product_line,
        true as is_open
    from checkpoint
    left join since_checkpoint on checkpoint.ticket_id = since_checkpoint.ticket_id
    where since_checkpoint.ticket_id is null

),

open_before as (

    select
        product_line,
        count(*) as open_tickets
    from before
    where is_open
    group by product_line

),

states as (

    select
        kpi_date,
        ticket_id,
        product_line,
        is_open,
        lag(product_line) over (partition by ticket_id order by kpi_date nulls last) as product_line_before,
        lag(is_open) over (partition by ticket_id order by kpi_date nulls last) as is_open_before
    from days

),

transitions as (

    select
        states.kpi_date,
        states.product_line,
        states.is_open,
        coalesce(states.product_line_before, before.product_line) as product_line_before,
        coalesce(states.is_open_before, before.is_open, false) as is_open_before
    from states
    left join before on states.ticket_id = before.ticket_id

),

changes as (

    select
        kpi_date,
        product_line,
        1 as change
    from transitions
    where is_open
    union all
    select
        kpi_date,
        product_line_before as product_line,
        -1 as change
    from transitions
    where is_open_before

),

daily_changes as (

    select
        kpi_date,
        product_line,
        sum(change) as change
    from changes
    group by kpi_date, product_line

),

bounds as (

    select
        min(first_date) as first_date,
        {{ last_day_of_window('(select max(kpi_date) from days)') }} as last_date
    from product_lines
    having min(first_date) is not null

),

calendar as (

    select {{ days_between('first_date', 'last_date') }} as kpi_date
    from bounds

),

filled as (

    select
        calendar.kpi_date,
        product_lines.product_line,
        coalesce(open_before.open_tickets, 0) as open_before,
        coalesce(daily_changes.change, 0) as change
    from calendar
    inner join product_lines on calendar.kpi_date >= product_lines.first_date
    left join open_before on product_lines.product_line = open_before.product_line
    left join daily_changes
        on
            calendar.kpi_date = daily_changes.kpi_date
            and product_lines.product_line = daily_changes.product_line
    where {{ in_window('calendar.kpi_date', 'date') }}

),

final as (

    select
        kpi_date,
        product_line,
        cast(
            open_before + sum(change) over (
                partition by product_line
                order by kpi_date nulls last
                rows between unbounded preceding and current row
            ) as bigint
        ) as open_tickets,
        cast(change as bigint) as open_tickets_change
    from filled

)

select * from final
