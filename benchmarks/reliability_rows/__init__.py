"""What must hold when servers are hostile, machines die and money is at stake; one module a kind of trouble."""
