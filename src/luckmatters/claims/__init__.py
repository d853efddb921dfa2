"""The paper's claims: one small pure function each, from tables to effects with intervals over seeds."""
