"""The sentences of refusals in both languages, shipped with the package: data beside `ingest.words`."""
