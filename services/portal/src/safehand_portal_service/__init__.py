"""Her pages: a thin web front over gRPC, without a database and without keys."""
