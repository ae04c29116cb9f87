"""Which agents there are and which of them match: records, indexes, predicates, pick."""
