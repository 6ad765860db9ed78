"""Language models: what they are asked, what they answer, and what the answers say about where they come from."""
