"""What is refused before it writes: ways in through dbt, models that no table keeps, what their SQL must not do."""
