"""Which agents exist and which of them match: records, indexes, predicates, pick."""
