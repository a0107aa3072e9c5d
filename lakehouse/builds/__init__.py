"""How a derived table is built, whoever builds it: pin what is read, compute by chunks, stage, commit with evidence."""
