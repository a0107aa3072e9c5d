"""dbt as processes of its own: started, kept warm, followed."""
