{{ config(materialized='incremental', event_time='month_start') }}

with history as (

    select
        kpi_date,
        ticket_id,
        product_line,
        is_open
    from {{ ref('int_ticket_states__daily', where=up_to_window('kpi_date', 'date')) }}
    where is_last

),

bounds as (

    select
        {{ first_day_of_window('(select min(kpi_date) from history)') }} as first_date,
        {{ last_day_of_window('(select max(kpi_date) from history)') }} as last_date

),

calendar as (

    select {{ days_between('first_date', 'last_date') }} as calendar_date
    from bounds
    where first_date is not null

),

months as (

    select calendar_date as month_start
    from calendar
    where
        extract(day from calendar_date) = 1
        and {{ in_window('calendar_date', 'date') }}

),

last_month as (

    select coalesce(max(month_start), date '0001-01-01') as month_start
    from months

),

-- Where no month begins, nothing of the history is read.
past as (

    select *
    from history
    where kpi_date < (select month_start from last_month)

),

states as (

    select
        months.month_start,
        past.ticket_id,
        {{ latest('past.product_line', 'past.kpi_date') }} as product_line,
        {{ latest('past.is_open', 'past.kpi_date') }} as is_open
    from past
    inner join months on past.kpi_date < months.month_start
    group by months.month_start, past.ticket_id

),

final as (

    select
        month_start,
        ticket_id,
        product_line
    from states
    where is_open

)

select * from final
