"""The shape of the database: numbered SQL, applied in order by `tocsin migrate` and at every start."""
